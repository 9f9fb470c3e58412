"""Which language each document is in: as its shard says, else as an identifier finds, as BCP 47 primary subtags.

Knows how languages are named; nothing of how a text's language is identified.
"""

from __future__ import annotations

import re
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.schema import LanguageIdentifier

_NO_LANGUAGE = frozenset({"und", "zxx", "mul", "mis", "x-default"})
"""Undetermined, no linguistic content, several, uncoded (ISO 639-2); what pages say that have a version for all."""
_ENGLISH_NAMES = {
    "arabic": "ar", "bengali": "bn", "bulgarian": "bg", "catalan": "ca", "chinese": "zh", "croatian": "hr",
    "czech": "cs", "danish": "da", "dutch": "nl", "english": "en", "estonian": "et", "finnish": "fi", "french": "fr",
    "german": "de", "greek": "el", "hebrew": "he", "hindi": "hi", "hungarian": "hu", "indonesian": "id",
    "italian": "it", "japanese": "ja", "korean": "ko", "latvian": "lv", "lithuanian": "lt", "norwegian": "no",
    "persian": "fa", "polish": "pl", "portuguese": "pt", "romanian": "ro", "russian": "ru", "serbian": "sr",
    "slovak": "sk", "slovenian": "sl", "spanish": "es", "swedish": "sv", "thai": "th", "turkish": "tr",
    "ukrainian": "uk", "urdu": "ur", "vietnamese": "vi",
}  # fmt: skip
_SEPARATORS = re.compile(r"[,;|\s]+")


@lru_cache(maxsize=10_000)
def primary_subtag(given: str) -> str | None:
    """The BCP 47 primary subtag of a language as data name it, ``en`` for each of ``EN``, ``eng``, ``en-US``,
    ``en_GB.UTF-8``, ``eng_Latn``, ``__label__en``, ``eng,deu`` (the first counts) and ``English``; of the main
    language of a group, the tag of the group (``zh`` for ``cmn``), as in CLDR. None for what names no
    language, such as ``und``.
    """
    from langcodes import Language  # here: it takes a tenth of a second, and many shards need none
    from langcodes.tag_parser import LanguageTagError

    first = _SEPARATORS.split(given.strip().removeprefix("__label__").lower())[0].split(".")[0]
    if first in _NO_LANGUAGE:
        return None
    try:
        found = Language.get(_ENGLISH_NAMES.get(first, first))
    except LanguageTagError:
        return None
    known = found.prefer_macrolanguage()
    return known.language if known.language not in _NO_LANGUAGE and known.language and found.is_valid() else None


def primary_subtags(given: pa.StringArray) -> pa.StringArray:
    """`primary_subtag` of each, null for null; each distinct name is looked up once."""
    if given.null_count == len(given):
        return given
    names = given.dictionary_encode()
    tags = pa.array([primary_subtag(name) for name in names.dictionary.to_pylist()], pa.string())
    return tags.take(names.indices)


def with_languages(documents: pa.RecordBatch, identify: LanguageIdentifier | None) -> pa.RecordBatch:
    """DOCUMENTS with ``lang`` as primary subtags; where the shard names none, what ``identify`` finds in the text."""
    lang = primary_subtags(documents.column("lang"))
    if identify is not None and lang.null_count:
        missing = lang.is_null()
        texts = documents.column("text")
        found = identify(texts if lang.null_count == len(lang) else texts.filter(missing))
        lang = pc.replace_with_mask(lang, missing, pc.coalesce(primary_subtags(found), found))
    return documents.set_column(documents.schema.get_field_index("lang"), documents.schema.field("lang"), lang)


def is_other(lang: pa.StringArray, language: str) -> pa.BooleanArray:
    """Where the language is known and is not the model's ``language``; nowhere for a model that claims none ("")."""
    if not language:
        return pa.repeat(False, len(lang))
    return pc.fill_null(pc.not_equal(lang, language), False)
