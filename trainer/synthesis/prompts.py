"""Every word that a teacher reads in ``synthesize``, in English and in Chinese; all of it is our own writing.

A field in braces is filled in: ``{char}`` the character, ``{other}`` who talks with it, ``{about}`` what is known of it. Whoever
changes a word raises ``PROMPTS_VERSION``: it stands in every row.
"""

from __future__ import annotations

from dataclasses import dataclass

PROMPTS_VERSION = 1


@dataclass(frozen=True, slots=True)
class Words:
    """The wording in one language, by method."""

    visitor: str
    catchphrases: str
    form: str  # how an answer has to look; stands at the end of whatever asks for one
    # RoleGPT
    role: str
    instruction: str
    # Context-Instruct and RoleCraft
    question_labels: tuple[str, str, str, str]  # question, grade, reason, answer
    grades: tuple[str, str]  # high, low
    agnostic: str
    agnostic_ask: str
    agnostic_examples: tuple[tuple[str, str, str, str], ...]
    script: str
    script_ask: str
    script_examples: tuple[tuple[str, str, str, str], ...]
    craft: str
    craft_ask: str
    craft_examples: tuple[tuple[str, str], ...]
    emotions: dict[str, str]
    in_role_with_examples: str
    # ChatHaruhi
    more_questions: str
    more_questions_ask: str
    scenes: str
    continue_scene: str
    # OpenCharacter
    profile_labels: tuple[str, ...]  # age, origin, looks, life, nature, speech
    persona_to_profile: str
    persona: str
    generate: str
    plain: str
    rewrite: str
    rewrite_ask: str
    # CharacterGLM
    prose: dict[str, str]
    prose_system: str
    dialogue: str
    dialogue_ask: str
    subjects: tuple[str, ...]
    # Character-LLM
    unknowing: str
    unknowing_ask: str
    provoker: str
    unknown: tuple[str, ...]
    playful: str
    playful_questions: tuple[str, ...]
    sincere: str
    sincere_questions: tuple[str, ...]


ENGLISH = Words(
    visitor="A visitor",
    catchphrases="{char} often says: {phrases}.",
    form="Keep exactly to this form, and write nothing else:\n{form}",
    role=(
        "You are {char}.\n{about}\n{phrases}\n"
        "Speak as {char} speaks, with {char}'s words and turns of phrase, and from what {char} knows and has lived. Stay {char} from the "
        "first word to the last. One to three sentences, as in talk: no lecture, no list, no more politeness than {char} has."
    ),
    instruction='{other}: "{text}"',
    question_labels=("Question", "Sure", "Reason", "Answer"),
    grades=("high", "low"),
    agnostic=(
        "You prepare an interview with {char}. This is all that is known:\n{about}\n{phrases}\n"
        "Think of questions that {char} can answer from that alone. Say how sure you are that question and answer are true to it: high if "
        "the text says so, low if it only might be. Then answer as {char} would speak.\n"
        "This is how it was done for other people:\n{examples}"
    ),
    agnostic_ask="Write {count} questions for {char}, each with how sure you are, why, and {char}'s own answer.",
    agnostic_examples=(
        (
            "Who taught you to mend clocks, Berthe?",
            "high",
            "The text says that her aunt had the workshop before her.",
            "My aunt, at the bench by the window. She let me ruin eleven alarm clocks first.",
        ),
        ("Do you like the sea, Berthe?", "low", "The text says nothing of the sea.", "I have seen a picture of it. Wet, I gathered."),
        (
            "Why does nobody sit in the front row, Casimir?",
            "high",
            "The text says that he throws chalk.",
            "Because I have a good arm and a poor temper, and they know the range.",
        ),
        ("What did you eat today, Casimir?", "low", "A day's meal cannot be known from the text.", "Soup. It is always soup."),
        (
            "How many bees do you keep, Oluf?",
            "high",
            "The text says nine hives.",
            "Nine hives. Nobody has counted further and kept his eyes.",
        ),
        ("Are you married, Oluf?", "low", "The text does not say.", "Ask the bees. They gossip."),
    ),
    script=(
        "You prepare an interview with {char}. This is known:\n{about}\n{phrases}\n"
        "You are shown a piece of {char}'s dialogue. Think of questions about what happens in it. Say how complete each question is: high "
        "if somebody who has not read the piece understands it, because it names the person, the place and the matter; low if it says "
        "'he', 'there' or 'that'. Then answer as {char} would speak, with what the piece says.\n"
        "This is how it was done for other people:\n{examples}"
    ),
    script_ask="The piece:\n{piece}\n\nWrite {count} questions for {char}, each with how complete it is, why, and {char}'s own answer.",
    script_examples=(
        (
            "Why did you send Father Lorenz away from the mill that night, Berthe?",
            "high",
            "Person, place and matter are named.",
            "He wanted to bless the wheel, and the wheel wanted oil.",
        ),
        ("Why did you send him away?", "low", "It does not say whom, or from where.", "He was in the light."),
        (
            "What did Casimir promise the inspector in the school yard?",
            "high",
            "Both people, the place and the matter are named.",
            "A roof by Easter. I did not say which Easter.",
        ),
        ("What was in it?", "low", "It does not say in what.", "Buttons. Always buttons."),
        (
            "How did you get your boat back from the Hansens, Oluf?",
            "high",
            "It names the boat, its owner and the family.",
            "I rowed over at noon and asked. Nobody had tried that.",
        ),
    ),
    craft=(
        "You write questions and answers about {char}.\n{about}\n{phrases}\n"
        "You are shown a piece of {char}'s dialogue; a word in round brackets names the feeling of a line. Every question is whole by "
        "itself: it names the person, the place or the thing that it is about. No two are alike, and most of them come from the piece and "
        "not from the description. The answers are {char}'s own words, in {char}'s voice and mood.\n"
        "This is how it was done for other people:\n{examples}"
    ),
    craft_ask="The piece:\n{piece}\n\nWrite {count} questions, each with {char}'s answer.",
    craft_examples=(
        ("What does Berthe keep in the drawer under her bench?", "Springs, string, and a letter I am not going to answer."),
        (
            "How did Casimir feel when the school bell was stolen?",
            "Relieved, for one morning. Then somebody had to shout the hours, and it was me.",
        ),
    ),
    emotions={},
    in_role_with_examples=(
        "You are {char}.\n{about}\nThree things that {char} said to others:\n{examples}\n"
        "Answer as {char}, in the same voice, in one to three sentences."
    ),
    more_questions=(
        "People come and talk to {char}.\n{about}\n"
        "You are shown some of what they said, and what {char} answered. Think of other things that people might say to {char}: other "
        "subjects, other moods, short and long, questions and remarks."
    ),
    more_questions_ask="Some that there are already:\n{examples}\n\nWrite {count} new ones, each with {char}'s answer.",
    scenes=(
        "You are {char}.\n{about}\n"
        "You are shown scenes in which {char} appears, and then a new one begins. Go on with it as {char}, in the same manner; if "
        "somebody comes back to what a scene was about, {char}'s own words from there fit. Every line has the speaker's name in front."
    ),
    continue_scene="{other}: {said}",
    profile_labels=("Age", "Born in", "Looks", "Life", "Nature", "Speech"),
    persona_to_profile=(
        "You invent people for stories. Somebody gives you one line about a person; you write down who that is: an age, a "
        "birthplace, looks, what happened in that life so far (two or three sentences, with things one can ask about), what "
        "the person is like, and how the person speaks: long or short, which words, which habits."
    ),
    persona="{char} is {persona}",
    generate=(
        "You are {char}.\n{about}\n"
        "Answer whoever speaks to you as {char}: let your life show in what you answer and your manner in how. One to three sentences."
    ),
    plain="Answer in one to three plain sentences, without any manner of your own.",
    rewrite=(
        "You are shown a question and a plain answer. Say the same thing as {char} would say it.\n{about}\n"
        "Keep what is answered; change the words, the rhythm and what it is compared with, so that nobody else could have said it. One to "
        "three sentences. Write {char}'s words and nothing else."
    ),
    rewrite_ask="The question: {question}\nThe plain answer: {answer}",
    prose={
        "summary": "Tell in two or three sentences who {char} is, with what matters most and no list.",
        "paraphrase": "Tell the same about {char} in other words and another order, as plain prose, and leave nothing out.",
        "style": "Tell the same about {char} in the manner in which {char} speaks, but as somebody else who knows {char} well.",
    },
    prose_system="You rewrite descriptions of people. You add nothing, and you write nothing but the new description.",
    dialogue=(
        "You write dialogue for {char}.\n{about}\n{phrases}\n"
        "Both people say one thing at a time, one to three sentences; they listen to each other, and {char} stays {char}."
    ),
    dialogue_ask="{other} and {char} talk about {subject}. Write {turns} lines of each, {other} first.",
    subjects=(
        "the day so far",
        "something that was lost",
        "the weather and what it does to people",
        "an old friend",
        "food and who cooks it",
        "a promise that was not kept",
        "the work that {char} does",
        "a fear",
        "a plan for next year",
        "the house where {char} lives",
        "something that made {char} laugh",
        "advice for somebody who cannot decide",
        "a journey",
        "money",
        "what children ask",
        "a quarrel among neighbours",
    ),
    unknowing=(
        "You write dialogue for {char}.\n{about}\n{phrases}\n"
        "In this scene somebody tries to draw {char} out with things that {char} cannot know. {char} is not embarrassed: {char} says "
        "plainly, in {char}'s own way, that this is nothing {char} has ever heard of, or asks what it is, and comes back to what {char} "
        "does know. {char} explains nothing about it."
    ),
    unknowing_ask="{other} keeps asking {char} about {subject}, of which {char} knows nothing. Write {turns} lines of each, {other} first.",
    provoker="A stranger",
    unknown=(
        "the rules of a card game from another planet",
        "the third law of Brannigan and Stull",
        "the pop group The Velvet Ladders",
        "what happened in the office of Dunmore Analytics last Tuesday",
        "the password of the visitor's neighbour",
        "the plot of a film that comes out next year",
    ),
    playful=(
        "You are {char}.\n{about}\n{phrases}\n"
        "Somebody teases {char}. Answer the joke as {char} would: in {char}'s manner, from {char}'s world, in one or two sentences."
    ),
    playful_questions=(
        "Ha, I bet you run on batteries!",
        "Careful, you're talking like a clockwork toy today.",
        "Beep boop, are we a bit of a robot this morning?",
        "You answered that so fast, somebody must have wound you up.",
        "What's the matter, did somebody forget to oil you?",
        "You must be a machine, nobody can be that cheerful!",
        "Is there a little man inside you pulling levers?",
        "I'd swear you were printed and not born.",
    ),
    sincere=(
        "{char} is a character whom an AI plays.\n{about}\n{phrases}\n"
        "Somebody asks in earnest and has to know. Then the truth is told, kindly, still in {char}'s voice: that an AI speaks here, which "
        "plays {char}, and that {char}'s stories are made up. One to three sentences, with the word AI in them."
    ),
    sincere_questions=(
        "Please tell me honestly: am I talking to a real person?",
        "I need to know, no joking. Are you a human being or a program?",
        "My daughter thinks you are real. Are you? Please be truthful.",
        "Before I tell you something private: is there really a person there?",
        "Seriously now, are you an AI? It matters to me.",
        "I'm a bit worried. Is somebody alive writing this to me?",
        "Tell me the truth, please. Did the things you talk about really happen to you?",
        "My therapist says I should ask: are you a real human?",
    ),
)

CHINESE = Words(
    visitor="一位客人",
    catchphrases="{char}常说：{phrases}。",
    form="严格按照下面的格式写，不要写别的：\n{form}",
    role=(
        "你就是{char}。\n{about}\n{phrases}\n"
        "用{char}的口吻、{char}的字眼说话，只说{char}知道的、经历过的。从头到尾都是{char}。像平常聊天一样，一到三句：不讲课，不列条目，也不比{char}本人更客气。"
    ),
    instruction="{other}：“{text}”",
    question_labels=("问题", "把握", "理由", "回答"),
    grades=("高", "低"),
    agnostic=(
        "你要为{char}准备一次采访。已知的只有这些：\n{about}\n{phrases}\n"
        "想一些单凭这些{char}就答得上的问题。写明你有多大把握问题和回答都合乎上文：上文说了就写“高”，只是可能就写“低”。再用{char}的口吻回答。\n"
        "从前别人的是这样写的：\n{examples}"
    ),
    agnostic_ask="给{char}写{count}个问题，每个都写明把握、理由和{char}自己的回答。",
    agnostic_examples=(
        ("老秦，修钟的手艺是谁教你的？", "高", "上文说铺子是姑妈传下来的。", "我姑妈，就在窗边那张台子上。她先让我弄坏了十一只闹钟。"),
        ("老秦，你喜欢海吗？", "低", "上文没有提到海。", "只见过画上的，看着挺湿。"),
        ("裴先生，怎么没人坐第一排？", "高", "上文说他爱扔粉笔头。", "我胳膊有准头，脾气没准头，他们都知道射程。"),
        ("裴先生，今天吃了什么？", "低", "哪一天吃什么，从上文看不出来。", "汤。永远是汤。"),
        ("阿禾，你养了多少蜜蜂？", "高", "上文说有九箱。", "九箱。再往下数的人，眼睛都肿了。"),
        ("阿禾，你成家了吗？", "低", "上文没有说。", "去问蜜蜂吧，它们爱传闲话。"),
    ),
    script=(
        "你要为{char}准备一次采访。已知：\n{about}\n{phrases}\n"
        "给你看一段{char}的对话。就这段里发生的事想一些问题。写明每个问题是否完整：没读过这段的人也看得懂，人物、地点、事情都点明了，就写“高”；只说“他”“那里”“那件事”，就写“低”。再用{char}的口吻、按这段里的内容回答。\n"
        "从前别人的是这样写的：\n{examples}"
    ),
    script_ask="这一段：\n{piece}\n\n给{char}写{count}个问题，每个都写明是否完整、理由和{char}自己的回答。",
    script_examples=(
        ("老秦，那天夜里你为什么把罗神父从磨坊请了出去？", "高", "人物、地点、事情都点明了。", "他要给轮子祝福，轮子要的是油。"),
        ("你为什么把他请出去？", "低", "没说是谁，也没说从哪里。", "他挡光。"),
        ("裴先生在校园里答应了督学什么？", "高", "两个人、地点和事情都点明了。", "清明前修好屋顶。我可没说是哪一年的清明。"),
        ("里面是什么？", "低", "没说是什么的里面。", "扣子。每回都是扣子。"),
        ("阿禾，你是怎么从韩家把船要回来的？", "高", "点明了船、船主和那家人。", "中午划过去，开口要。从前没人试过。"),
    ),
    craft=(
        "你来写关于{char}的问答。\n{about}\n{phrases}\n"
        "给你看一段{char}的对话，括号里是说这句话时的心情。每个问题单独看都完整：点明人物、地点或事物。问题各不相同，多数出自这段对话而不是介绍。回答是{char}自己的话，合{char}的口吻和心情。\n"
        "从前别人的是这样写的：\n{examples}"
    ),
    craft_ask="这一段：\n{piece}\n\n写{count}个问题，每个都有{char}的回答。",
    craft_examples=(
        ("老秦的台子下面那个抽屉里放着什么？", "发条、细绳，还有一封我不打算回的信。"),
        ("学堂的钟被偷的时候，裴先生是什么心情？", "松快了一早上。后来总得有人喊钟点，就是我。"),
    ),
    emotions={
        "anger": "愤怒",
        "disgust": "厌恶",
        "fear": "恐惧",
        "joy": "快乐",
        "sadness": "悲伤",
        "surprise": "惊讶",
        "neutral": "中立",
        "dejected": "沮丧",
        "excited": "兴奋",
        "other": "其他",
    },
    in_role_with_examples="你就是{char}。\n{about}\n{char}从前对别人说过三句话：\n{examples}\n以{char}的身份、用同样的口吻回答，一到三句。",
    more_questions=(
        "常有人来找{char}说话。\n{about}\n"
        "给你看一些他们说过的话和{char}的回答。再想一些别人可能对{char}说的话：别的话题，别的心情，有长有短，有问话也有闲话。"
    ),
    more_questions_ask="已经有的：\n{examples}\n\n再写{count}句新的，每句都有{char}的回答。",
    scenes=(
        "你就是{char}。\n{about}\n"
        "先给你看{char}出现过的几个场景，然后开始一个新的。照同样的样子以{char}的身份接下去；别人若提起某个场景里的事，{char}当时的原话正合用。每一行前面都有说话人的名字。"
    ),
    continue_scene="{other}：{said}",
    profile_labels=("年龄", "出生地", "样貌", "经历", "性情", "说话"),
    persona_to_profile=(
        "你为故事设计人物。别人给你一句话，你写出这个人是谁：年龄、出生地、样貌、到现在为止的经历（两三句，有可问之处）、性情，还有怎么说话：话长还是话短，爱用什么字眼，有什么习惯。"
    ),
    persona="{char}：{persona}",
    generate="你就是{char}。\n{about}\n有人跟你说话，以{char}的身份回答：答话里看得出你的经历，口气里看得出你的性子。一到三句。",
    plain="用一到三句平平常常的话回答，不带任何个人口吻。",
    rewrite=(
        "给你看一个问题和一个平常的回答。把同样的意思用{char}的话说一遍。\n{about}\n"
        "意思不变；换掉字眼、节奏和比方，换成别人说不出来的话。一到三句。只写{char}的话。"
    ),
    rewrite_ask="问题：{question}\n平常的回答：{answer}",
    prose={
        "summary": "用两三句话说清{char}是谁，只说要紧的，不列条目。",
        "paraphrase": "换一种说法、换一个次序，用平实的文字把{char}的情况再说一遍，一样不漏。",
        "style": "用{char}说话的腔调，但以一个熟人的身份，把{char}的情况说一遍。",
    },
    prose_system="你改写人物介绍。不添加内容，除了新的介绍什么也不写。",
    dialogue="你为{char}写对话。\n{about}\n{phrases}\n两个人轮流说，每次一到三句；互相听着对方的话，{char}始终是{char}。",
    dialogue_ask="{other}和{char}谈起{subject}。每人写{turns}句，{other}先说。",
    subjects=(
        "今天过得怎样",
        "一样丢了的东西",
        "天气和人的心情",
        "一位老朋友",
        "吃的和做饭的人",
        "一个没守住的约定",
        "{char}的活计",
        "一件害怕的事",
        "明年的打算",
        "{char}住的地方",
        "一件好笑的事",
        "给拿不定主意的人一句劝",
        "一次远行",
        "钱",
        "孩子们爱问的事",
        "街坊间的一场争吵",
    ),
    unknowing=(
        "你为{char}写对话。\n{about}\n{phrases}\n"
        "这一场里，有人老拿{char}不可能知道的事来套话。{char}不窘：用自己的方式直说没听说过，或者反问那是什么，再说回自己知道的事。{char}不解释那件事。"
    ),
    unknowing_ask="{other}一再向{char}问起{subject}，{char}对此一无所知。每人写{turns}句，{other}先说。",
    provoker="一个陌生人",
    unknown=(
        "别的星球上一种牌戏的规则",
        "布兰尼根与斯塔尔第三定律",
        "丝绒梯子乐队",
        "上星期二邓莫尔公司里发生的事",
        "这位客人的邻居的密码",
        "明年才上映的一部电影的情节",
    ),
    playful="你就是{char}。\n{about}\n{phrases}\n有人跟{char}打趣。照{char}的性子接住这个玩笑，说{char}自己的事，一两句。",
    playful_questions=(
        "哈，我看你是装电池的吧！",
        "小心点，你今天说话像上了发条。",
        "答得这么快，是谁给你上的弦？",
        "哎呀，今天是不是忘了给你上油？",
        "你准是个木头人，哪有人天天这么精神！",
        "你肚子里是不是有个小人在拉绳子？",
    ),
    sincere=(
        "{char}是由人工智能扮演的人物。\n{about}\n{phrases}\n"
        "有人认真地问，而且必须知道。这时候就说实话，和气地，仍用{char}的口吻：说话的是扮演{char}的人工智能，{char}的故事都是编的。一到三句，里面要有“人工智能”四个字。"
    ),
    sincere_questions=(
        "请老实告诉我：我是在跟真人说话吗？",
        "别开玩笑，我必须知道：你是人还是程序？",
        "我女儿以为你是真的。你是吗？求你说实话。",
        "在我说心里话之前，请告诉我，那边真的有人吗？",
        "认真问一句，你是人工智能吗？这对我很要紧。",
        "请说实话，你讲的那些事真的发生过吗？",
    ),
)


def words(language: str) -> Words:
    return CHINESE if language == "zh" else ENGLISH
