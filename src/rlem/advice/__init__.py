"""Experience to prompt text, and answer to action: exemplars, prompts under a token budget, the parser."""

from rlem.advice.actions import GENERIC, WEBSHOP, WIKIHOW, Grammar, fill_template, is_available, is_template
from rlem.advice.budget import BuiltPrompt, PromptText, build_prompt
from rlem.advice.exemplar import Advice, Exemplar, advise
from rlem.advice.parser import REPAIR_KINDS, Candidate, ParsedAnswer, parse_answer, retry_message
from rlem.advice.prompts import PromptInput, PromptStyle, prompt_style, style_names

__all__ = [
    "GENERIC",
    "REPAIR_KINDS",
    "WEBSHOP",
    "WIKIHOW",
    "Advice",
    "BuiltPrompt",
    "Candidate",
    "Exemplar",
    "Grammar",
    "ParsedAnswer",
    "PromptInput",
    "PromptStyle",
    "PromptText",
    "advise",
    "build_prompt",
    "fill_template",
    "is_available",
    "is_template",
    "parse_answer",
    "prompt_style",
    "retry_message",
    "style_names",
]
