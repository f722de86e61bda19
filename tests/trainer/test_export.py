"""merge, export, quantize, publish: what is served is what was trained, and anything else fails loudly."""

import io
import json
import shutil
import tarfile
from importlib.metadata import version

import numpy as np
import pytest
import torch
from rich.console import Console

import gguf
from bot.engine.adapter_fold import adapter_prompt_version
from bot.engine.models import check, current_name, roll_back
from trainer.base import find_base, load_model, load_tokenizer
from trainer.converter import convert, converter
from trainer.dataset import TEST
from trainer.errors import BaseRefused, GateFailed, RunRefused, SourceRefused, ToolMissing
from trainer.export import ADAPTER_FILE, MODEL_FILE, AdapterSettings, ExportSettings, export, export_adapter
from trainer.gate import pass_gate, same_tensors, same_tokens, same_words
from trainer.likelihood import measure, per_token
from trainer.merge import MergeSettings, check_adapter, merge
from trainer.publish import publish_adapter, publish_characters, publish_model
from trainer.quantize import QuantizeSettings, TypeRow, choose, quantize, show
from trainer.samples import read_samples
from trainer.served import Served
from trainer.tune import ADAPTER


@pytest.fixture(scope="module")
def merged(tuned, tiny_base):
    return merge(tuned, tuned.parent / "merge", MergeSettings(base=str(tiny_base)))


@pytest.fixture(scope="module")
def exported(merged, data, tools):
    return export(merged, data, merged.parent / "export", ExportSettings(cache=tools, gate_samples=4, gate_prompts=2))


@pytest.fixture(scope="module")
def adapter(tuned, merged, tiny_base, tools):
    return export_adapter(tuned, merged, merged.parent / "export-adapter", AdapterSettings(base=str(tiny_base), cache=tools))


@pytest.fixture(scope="module")
def quantized(exported, data):
    settings = QuantizeSettings(types=("Q8_0", "Q4_0"), samples=4, rounds=1, threads=1)
    return quantize(exported, data, exported.parent / "quantize", settings)


def rewritten(source, target, *, change):
    """A copy of a GGUF in which ``change(name, array)`` may give another array."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.get_field("general.architecture").contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        contents = change(field.name, field.contents()) if field.name.startswith("tokenizer.") else field.contents()
        writer.add_key_value(field.name, contents, field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, change(tensor.name, np.array(tensor.data)), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def test_a_merged_model_has_the_adapters_loss(tuned, merged, data):
    """Merged in float32, before anything is rounded, so nothing of a small adapter is lost."""
    told = json.loads((tuned / "manifest.json").read_text())["figures"]

    found = per_token(measure(load_model(find_base(str(merged))), list(read_samples(data / "watch.jsonl"))))

    assert found == pytest.approx(told["held_out_loss_best"], abs=1e-3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"use_dora": True}, "uses use_dora"),
        ({"modules_to_save": ["embed_tokens"]}, "uses modules_to_save"),
        ({"target_modules": ["q_proj", "lm_head"]}, "changes the embeddings or the head"),
    ],
)
def test_an_adapter_that_cannot_be_served_is_refused(tmp_path, tuned, change, says):
    shutil.copytree(tuned / ADAPTER, tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps({**config, **change}))

    with pytest.raises(BaseRefused, match=says):
        check_adapter(tmp_path / "adapter")

    assert check_adapter(tuned / ADAPTER)["r"] == 16


def test_a_pickled_adapter_is_refused(tmp_path, tuned):
    shutil.copytree(tuned / ADAPTER, tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")

    with pytest.raises(BaseRefused, match="pickled weights can run code"):
        check_adapter(tmp_path / "adapter")


def test_an_exported_file_is_the_merged_model_and_says_so(exported):
    parity = json.loads((exported / "manifest.json").read_text())["figures"]["parity"]

    assert (exported / MODEL_FILE).is_file()
    assert parity["token_ids_compared"] > 1000
    assert parity["tensors_compared"] == 20
    assert parity["greedy_agreement"] >= 0.9
    assert abs(parity["nll_trained"] - parity["nll_exported"]) < 0.03


def test_an_adapter_folded_without_torch_is_the_merged_model(adapter):
    """The very folding that ``make run`` does, compared with torch's merge tensor by tensor: q and k rows are in GGUF's order."""
    figures = json.loads((adapter / "manifest.json").read_text())["figures"]

    assert figures["tensors"] == 2 * 7 * 2
    assert adapter_prompt_version(adapter / ADAPTER_FILE) == 1
    names = {f.name for f in gguf.GGUFReader(adapter / ADAPTER_FILE).fields.values() if f.name.startswith("general.")}
    assert names <= {"general.architecture", "general.type", "general.file_type", "general.quantization_version"}


def test_llama_cpp_applies_the_exported_adapter_as_torch_does(adapter, tiny_base, merged, data, tools, tmp_path):
    """Base and adapter apart, as llama.cpp loads them at run time, lose as much as the merged model."""
    base = tmp_path / "base.gguf"
    convert(converter(tools), "convert_hf_to_gguf.py", str(tiny_base), "--outfile", str(base), "--outtype", "f16")
    samples = list(read_samples(data / TEST))

    with Served(base, threads=1, adapter=adapter / ADAPTER_FILE) as served:
        found = per_token(served.measure(samples))
    with Served(base, threads=1) as served:
        without = per_token(served.measure(samples))

    expected = per_token(measure(load_model(find_base(str(merged))), samples))
    assert found == pytest.approx(expected, abs=0.01)
    assert abs(without - expected) > 0.05


def test_a_tensor_that_was_changed_fails_the_gate_by_name(exported, merged, tmp_path):
    def permuted(name, value):
        return value[::-1].copy() if name == "blk.1.attn_q.weight" else value

    wrong = rewritten(exported / MODEL_FILE, tmp_path / "wrong.gguf", change=permuted)

    with pytest.raises(GateFailed, match=r"tensor blk\.1\.attn_q\.weight differs"):
        same_tensors(load_model(find_base(str(merged))), wrong)


@pytest.mark.parametrize(("less", "other_model"), [(0.001, False), (0.5, True)])
def test_two_words_that_are_as_likely_may_fall_either_way_and_no_others(exported, merged, data, tmp_path, less, other_model):
    """The trained model and the file differ in which of two words has the shorter vector, by a thousandth or by half."""
    model = load_model(find_base(str(merged)))
    model.train(False)
    sample = next(read_samples(data / TEST))
    prompt = sample.tokens[: sample.spans[-1][0]]
    words = model.get_input_embeddings().weight.data  # the output's too
    first, second = int(model(torch.tensor([prompt])).logits[0, -1].argmax()), next(n for n in range(9_000, 10_000) if n not in prompt)
    words[second] = words[first] * (1 - less)

    def turned(name, value):
        if name != "token_embd.weight":
            return value
        value = value.copy()
        value[second], value[first] = value[first], value[first] * (1 - less)
        return value

    with Served(rewritten(exported / MODEL_FILE, tmp_path / "turned.gguf", change=turned), threads=1) as served:
        assert served.greedy(prompt, 1) == [second]
        if other_model:
            with pytest.raises(GateFailed, match="greedy replies agree on 0%"):
                same_words(model, served, [prompt])
        else:
            assert same_words(model, served, [prompt]) == 1.0


def test_another_chat_template_or_end_token_fails_the_gate(exported, merged, data, tmp_path):
    """The two causes of "good in training, endless when served"."""
    tokenizer = load_tokenizer(find_base(str(merged)))
    other = {"tokenizer.chat_template": "{{ messages[0]['content'] }}", "tokenizer.ggml.eos_token_id": 1}
    expected = {"tokenizer.chat_template": "another chat template", "tokenizer.ggml.eos_token_id": "ends a reply with"}
    for key, says in expected.items():

        def changed(name, value, key=key):
            return other[key] if name == key else value

        wrong = rewritten(exported / MODEL_FILE, tmp_path / f"{key}.gguf", change=changed)

        with pytest.raises(GateFailed, match=says):
            pass_gate(load_model(find_base(str(merged))), tokenizer, wrong, list(read_samples(data / TEST))[:1], prompts=1)

    with Served(exported / MODEL_FILE, threads=1) as served:
        assert same_tokens(tokenizer, served.tokenizer, ["and it still answers"]) > 0


def test_both_tokenizers_agree_on_the_starter_and_on_text_of_every_kind(tokenizer, starter_models):
    """One known exception, which no character says: after a space, numbers that are no digits, such as a half sign, are cut elsewhere."""
    with Served(starter_models / "starter.gguf", threads=1) as served:
        assert same_tokens(tokenizer, served.tokenizer, ["It's five o'clock; 12,345 gulls!\r\n", "ça và — ‘quoted’ …"]) > 100


def test_the_fastest_type_within_the_gap_is_chosen():
    rows = [
        TypeRow("F16", 270, 3.827, 477, 58),
        TypeRow("Q6_K", 138, 3.841, 390, 80),
        TypeRow("Q4_K_M", 105, 3.932, 334, 77),
        TypeRow("Q4_0", 92, 4.127, 558, 101),
    ]

    assert choose(rows, 0.03).type == "Q6_K"
    assert choose(rows, 0.001).type == "F16"
    assert choose(rows, 1.0).type == "Q4_0"
    with pytest.raises(GateFailed, match="F16 was not measured"):
        choose(rows[1:], 0.03)


def test_a_quantised_model_comes_with_the_table_it_was_chosen_from(quantized):
    figures = json.loads((quantized / "manifest.json").read_text())["figures"]

    assert [row["type"] for row in figures["table"]] == ["F16", "Q8_0", "Q4_0"]
    assert {p.name for p in quantized.glob("*.gguf")} == {MODEL_FILE}
    out = io.StringIO()
    show(quantized, Console(file=out, width=120))
    assert f"chosen: {figures['chosen']}" in out.getvalue()


def test_an_importance_matrix_changes_how_weights_are_rounded(exported, quantized, data, tmp_path):
    """Every layer's inputs have a weight, and llama.cpp takes them: the same type comes out otherwise."""
    settings = QuantizeSettings(types=("Q4_0",), samples=4, rounds=1, threads=1, importance=4)

    figures = json.loads((quantize(exported, data, tmp_path / "quantize", settings) / "manifest.json").read_text())["figures"]

    plain = json.loads((quantized / "manifest.json").read_text())["figures"]["table"]
    losses = {row["type"]: row["loss"] for row in figures["table"]}
    assert figures["weights_with_importance"] == 2 * 7, "two layers of seven weights each"
    assert losses["F16"] == next(row["loss"] for row in plain if row["type"] == "F16")
    assert losses["Q4_0"] != next(row["loss"] for row in plain if row["type"] == "Q4_0")


def test_a_type_that_nobody_knows_is_refused(exported, data, tmp_path):
    with pytest.raises(SourceRefused, match="'Q9_Z' is no type"):
        quantize(exported, data, tmp_path / "quantize", QuantizeSettings(types=("Q9_Z",)))


def test_a_published_model_is_served_and_can_be_rolled_back(quantized, tmp_path):
    models = tmp_path / "gguf"

    publish_model(quantized.parent, "tune", models, "company-1", serve=True)
    placed = publish_model(quantized.parent, "tune", models, "company-2", serve=True)

    assert current_name(models) == "company-2"
    assert check(placed.path).build == placed.build
    manifest = json.loads((models / "company-2.manifest.json").read_text())
    assert manifest["prompt_version"] == 1
    assert set(manifest["made_by"]) == {"dataset", "tune", "merge", "export", "quantize"}
    assert roll_back(models) == "company-1"


def test_an_adapter_is_placed_beside_the_models_and_nothing_is_swapped(adapter, tmp_path):
    placed = publish_adapter(adapter.parent, "tune", tmp_path, "starter-adapter")

    assert placed.path == tmp_path / "starter-adapter.gguf"
    assert json.loads((tmp_path / "starter-adapter.manifest.json").read_text())["prompt_version"] == 1
    assert not (tmp_path / "current").exists()


def test_characters_of_a_run_come_into_the_house_and_nobody_who_is_there_is_touched(company, tmp_path):
    house = tmp_path / "house"
    (house / "bo-rye").mkdir(parents=True)
    (house / "bo-rye" / "card.json").write_text("mine")

    brought = publish_characters(company, house)

    assert brought == ["ada-north", "cy-ash"]
    assert (house / "bo-rye" / "card.json").read_text() == "mine"
    assert sorted(p.name for p in house.iterdir()) == ["ada-north", "bo-rye", "cy-ash"]
    assert publish_characters(company, house) == []


def test_an_unfinished_run_or_a_bad_name_is_not_published(tmp_path, data):
    with pytest.raises(RunRefused, match="run the stages before publish first"):
        publish_model(tmp_path, "tune", tmp_path / "gguf", "company-1", serve=True)
    with pytest.raises(RunRefused, match="cannot be a model's name"):
        publish_model(tmp_path, "tune", tmp_path / "gguf", "../company", serve=True)

    assert not (tmp_path / "gguf" / "current").exists()


TOOLS = ("conversion/llama.py", "convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "gguf-py/gguf/x.py")


def source_package(path, *, of, complete=True):
    """A source package of llama-cpp-python, as far as the converter looks into it."""
    with tarfile.open(path, "w:gz") as package:
        for inner in (
            ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "conversion/llama.py", "gguf-py/gguf/x.py") if complete else ("README.md",)
        ):
            text = b"print('converting')\n"
            info = tarfile.TarInfo(f"llama_cpp_python-{of}/vendor/llama.cpp/{inner}")
            info.size = len(text)
            package.addfile(info, io.BytesIO(text))
    return path


def test_the_converter_is_unpacked_once_and_used_offline_from_then_on(tmp_path):
    package = source_package(tmp_path / "sdist.tar.gz", of=version("llama-cpp-python"))

    home = converter(tmp_path / "cache", package)
    package.unlink()

    assert converter(tmp_path / "cache") == home
    assert {p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file()} == {*TOOLS, "whole"}
    convert(home, "convert_hf_to_gguf.py")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: source_package(path, of="0.0.1"), "bring the source of that version"),
        (lambda path: source_package(path, of=version("llama-cpp-python"), complete=False), "does not contain llama.cpp's converter"),
        (lambda path: path.write_bytes(b"nonsense") and path, "cannot be unpacked"),
    ],
)
def test_a_source_package_that_does_not_fit_is_refused(tmp_path, make, says):
    with pytest.raises(ToolMissing, match=says):
        converter(tmp_path / "cache", make(tmp_path / "sdist.tar.gz"))

    assert list((tmp_path / "cache").iterdir()) == []


def test_a_converter_that_refuses_is_quoted(tmp_path):
    (tmp_path / "convert_hf_to_gguf.py").write_text("raise SystemExit('this model is not supported')")

    with pytest.raises(ToolMissing, match="this model is not supported"):
        convert(tmp_path, "convert_hf_to_gguf.py")
