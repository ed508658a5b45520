"""Markdown: the code blocks, each as a file whose lines are those of the Markdown."""

from __future__ import annotations

import time

import pytest

from dsbridge.diagnostics import InputError
from dsbridge.formats.json import read_json
from dsbridge.formats.markdown import Block, read_markdown
from dsbridge.formats.yaml import read_yaml

POST = """# How I train

The config, `train.yaml`:

```yaml
stage: sft
deepspeed: ds.json
```

and for DeepSpeed

```json title="ds.json"
{
  "zero_optimization": {"stage": 2}
}
```

Run `it` with

~~~~ bash
torchrun train.py
~~~~
"""


def test_the_blocks_of_a_post() -> None:
    assert read_markdown(POST) == [
        Block("yaml", "stage: sft\ndeepspeed: ds.json\n", 6, 0, "train.yaml"),
        Block("json", '{\n  "zero_optimization": {"stage": 2}\n}\n', 13, 0, "ds.json"),
        Block("bash", "torchrun train.py\n", 21),
    ]


def test_places_are_those_of_the_markdown() -> None:
    yaml, json, _ = read_markdown(POST)
    assert read_yaml(yaml.placed, "post.md").at(("deepspeed",)).line == 7
    assert read_json(json.placed, "post.md").at(("zero_optimization", "stage")).line == 14
    assert POST.split("\n")[13].strip().startswith('"zero_optimization"')
    with pytest.raises(InputError, match=r"post\.md:4:"):
        read_yaml(read_markdown("x\n\n```yaml\na: [}\n```\n")[0].placed, "post.md")


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        pytest.param("```yml\na: 1\n```", [Block("yaml", "a: 1\n", 2)], id="another-word"),
        pytest.param("```JSON\n{}\n```", [Block("json", "{}\n", 2)], id="capitals"),
        pytest.param("```\na: 1\n```", [Block("", "a: 1\n", 2)], id="no-language"),
        pytest.param("```rust\nfn\n```", [Block("rust", "fn\n", 2)], id="another-language"),
        pytest.param("```yaml\na: 1", [Block("yaml", "a: 1", 2)], id="never-closed"),
        pytest.param("```yaml\n```\n", [], id="empty"),
        pytest.param("    a: 1\n", [], id="indented-code-has-no-fence"),
        pytest.param("a ```yaml b: 1``` c\n", [], id="in-a-line"),
        pytest.param(
            "````md\n```yaml\na: 1\n```\n````", [Block("md", "```yaml\na: 1\n```\n", 2)], id="longer"
        ),
        pytest.param("- x\n\n  ```yaml\n  a: 1\n  ```\n", [Block("yaml", "a: 1\n", 4, 2)], id="in-a-list"),
        pytest.param("> ```yaml\n> a: 1\n> ```\n", [Block("yaml", "a: 1\n", 2, 2)], id="in-a-quote"),
        pytest.param("```yaml\r\na: 1\r\n```\r\n", [Block("yaml", "a: 1\n", 2)], id="dos-lines"),
        pytest.param("<!--\n```yaml\na: 1\n```\n-->\n", [], id="in-a-comment"),
        pytest.param("```yaml\n\n\na: 1\n```", [Block("yaml", "\n\na: 1\n", 2)], id="empty-lines-first"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_fences(text: str, blocks: list[Block]) -> None:
    assert read_markdown(text) == blocks


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param('```yaml title="conf/a.yaml"\na: 1\n```', "conf/a.yaml", id="title"),
        pytest.param("```json:ds.json\n{}\n```", "ds.json", id="after-a-colon"),
        pytest.param("```yaml a.yaml\na: 1\n```", "a.yaml", id="second-word"),
        pytest.param("```yaml\n# conf/a.yaml\na: 1\n```", "conf/a.yaml", id="first-line"),
        pytest.param("**train.py**\n\n```py\nx = 1\n```", "train.py", id="bold-above"),
        pytest.param("### ds_config.json\n```json\n{}\n```", "ds_config.json", id="heading"),
        pytest.param("`a.yaml` names `b.json`:\n\n```yaml\na: 1\n```", "", id="two-names"),
        pytest.param("Save it.\n\n```yaml\na: 1\n```", "", id="no-name"),
        pytest.param("```yaml\na: b.json\n```", "", id="a-name-inside"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert read_markdown(text)[0].name == name


@pytest.mark.parametrize("part", ["> ", "- ", "```\n", "[", "* a\n", "`", "<a ", "|", "\t", "# `a.yaml` "])
def test_texts_made_to_hurt(part: str) -> None:
    begun = time.process_time()
    read_markdown(part * 20_000)
    assert time.process_time() - begun < 5
