"""Unlabelled texts that can serve as background: those in which nothing speaks of an artificial mind.

The word list only leaves texts out; it never says that a text is about AI. Knows no model and no store.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from labels.records import stored_texts, text_digest

_MENTIONS = re.compile(
    r"""\b(?:
        AI | A\.I | AIs | AGI | LLMs? | GPT\S* | (?:super|machine|artificial)[ -]?intelligen\w*
      | artificial[ ](?:mind|life|general)\w* | (?i:chat[ -]?bots? | robot\w* | android\w* | cyborg\w*
      | automat(?:on|a|ons) | neural[ ]net\w* | machine[ -]learning | deep[ -]learning | language[ ]models?
      | singularity | replicants? | droids? | terminator\w* | skynet | ultron | glados | chatgpt | openai
      | anthropic | deepmind | alexa | siri | sentient | supercomputers? | computer[ ](?:mind|brain)\w*
      | thinking[ ]machines? | cybernetic\w* | self[ -]aware\w* | mainframe)
    )\b""",
    re.VERBOSE,
)


def mentions_ai(text: str) -> bool:
    """Whether any word could point to an artificial mind."""
    return _MENTIONS.search(text) is not None


def read_background(
    folder: str | Path, labelled: Collection[str], left_out: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """(source, text) of the unlabelled texts without such words in a folder's ``*.jsonl[.gz]`` files.

    The source is the record's ``source``, or else the file's name; sources ``left_out`` give none.
    Raises as `labels.records.stored_texts`.
    """
    for file, record in stored_texts(folder):
        text, source = record["text"], str(record.get("source") or file.name.split(".")[0])
        if source not in left_out and text_digest(text) not in labelled and not mentions_ai(text):
            yield source, text
