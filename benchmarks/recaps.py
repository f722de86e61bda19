"""What recaps the served model makes of three short conversations, and what is kept of them.

    python benchmarks/recaps.py [--rounds 3]

Prints every text, and in the end how many of them hold (``bot.sessions.recap_words``); the quotes that take a bad one's place
are printed once for each conversation.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from bot.config import Config, Paths
from bot.house import open_house
from bot.messages import ChannelKey, Turn
from bot.sessions import recap
from bot.sessions.recap_words import holds, quoted

HERE = Path(__file__).resolve().parents[1]
QUAY = ChannelKey("web", "quay")
TALKS = {
    "mara-quill": """\
Anna: Hello Mara, I'm Anna. I just moved to Saltmere with my daughter Lise.
Mara Quill: Saltmere. Twelve streets and a pump. Lise old enough for the stairs?
Anna: She's six. She is afraid of the dark.
Mara Quill: So was the lamp. Bring her on a clear night.
Ben: Mara, did you find my red scarf?
Mara Quill: Third hook. Wet.
Ben: I'll come on Thursday to fetch it, promise.
Mara Quill: Thursday. I'll leave the door.
Anna: I work at the bakery with Odo now.
Mara Quill: Then you sleep when I do. Never.
Ben: My boat is called Harriet, she leaks.
Mara Quill: They all leak. Yours has a name.
Ben: I'm allergic to herring by the way.
Mara Quill: In Saltmere. Brave.
Anna: We'll bring you soup on Sunday.
Mara Quill: Sunday. No herring then.""",
    "odo-brandt": """\
Tom: Odo, I haven't eaten since morning.
Odo Brandt: Then sit down, there's a loaf that nobody wanted, which is a scandal, and butter.
Tom: My exam is tomorrow. Chemistry.
Odo Brandt: Bread is chemistry that forgives you. Eat first.
Tom: I'm scared I'll fail and my father will be angry.
Odo Brandt: Fathers are loud and then they are hungry. Bring him here.
Petra: Odo! I ordered the birthday cake for Saturday, remember? Lemon.
Odo Brandt: Lemon, three layers, for Saturday, how could I forget, I dreamt of it.
Petra: It's for my sister Ina, she turns thirty.
Odo Brandt: Thirty! Then thirty candles and one to grow on.
Tom: I passed!! I got a B!
Odo Brandt: A B! Sit, eat, tell me everything, take two.
Tom: I'll help you on Friday night as a thank you.
Odo Brandt: Friday at two in the morning, wear an apron.
Petra: No nuts in the cake please, Ina is allergic.
Odo Brandt: Not a nut will come near it.""",
    "tamsin-rook": """\
Kai: hey tamsin, your bike was stolen?
Tamsin Rook: yeah. tuesday. blue frame, one bell, all my temper on it.
Kai: I saw a blue bike behind the cinema on Mill Lane
Tamsin Rook: mill lane. going. now. no, after this one line.
Joan: Tamsin dear, could you bring my letter to Dr Hale before five?
Tamsin Rook: before five. before the rain if i'm honest with my legs.
Joan: It's about my hip operation. Don't lose it.
Tamsin Rook: never lost one. bent one once.
Kai: I'm writing a poem for the slam on the 12th, will you read it?
Tamsin Rook: read it, ruin it, love it. send.
Kai: its about my brother who left for Leeds
Tamsin Rook: leeds takes people and gives back postcards.
Joan: I'll pay you with a jar of plum jam.
Tamsin Rook: plum. we have a contract.
Kai: found the bike! It's yours, I locked it at the library.
Tamsin Rook: kai. KAI. i owe you a poem with your name in it.""",
}


async def main(rounds: int) -> None:
    good = made = 0
    with tempfile.TemporaryDirectory() as data:
        config = Config(paths=Paths(characters=HERE / "characters", models=HERE / "gguf", data=Path(data)))
        async with open_house(config) as house:
            stage = house.stage
            print(stage.engine.build)
            for slug, talk in TALKS.items():
                character = house.desk.company.find(QUAY, slug)
                pairs = [line.partition(": ")[::2] for line in talk.splitlines()]
                turns = [
                    Turn(n, QUAY, str(n), who, who, who == character.name, said, datetime.now(UTC)) for n, (who, said) in enumerate(pairs)
                ]
                people = {t.author_name for t in turns if not t.by_character}
                for _ in range(rounds):
                    prompt = recap._prompt(stage.engine, recap._most(stage), character, None, turns)
                    text = " ".join((await recap._made(stage, prompt, QUAY)).split())
                    held = holds(text, turns, "", people)
                    good, made = good + held, made + 1
                    print(f"\n{slug} {'holds' if held else 'is thrown away'}: {text}")
                kept = quoted(turns, "", lambda words: stage.renderer.count(words) <= recap._most(stage))
                print(f"\n{slug}, in people's words: {kept}")
    print(f"\n{good} of {made} hold")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    asyncio.run(main(parser.parse_args().rounds))
