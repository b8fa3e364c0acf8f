"""How alike two situations are: features, scores, search."""

from rlem.similarity.base import Bank, Feature, Similarity
from rlem.similarity.config import (
    default,
    preset,
    similarity_from_config,
    similarity_to_config,
    webshop,
    webshop_paper,
    webshop_text,
    weighted,
    wikihow,
)
from rlem.similarity.embedding import Embedding
from rlem.similarity.exact import Exact, ExactOr
from rlem.similarity.index import SimilarityIndex
from rlem.similarity.lexical import Lexical
from rlem.similarity.tables import InstructionPattern, PageType
from rlem.similarity.tags import TagSequence

__all__ = [
    "Bank",
    "Embedding",
    "Exact",
    "ExactOr",
    "Feature",
    "InstructionPattern",
    "Lexical",
    "PageType",
    "Similarity",
    "SimilarityIndex",
    "TagSequence",
    "default",
    "preset",
    "similarity_from_config",
    "similarity_to_config",
    "webshop",
    "webshop_paper",
    "webshop_text",
    "weighted",
    "wikihow",
]
