"""Terms are public functions of one module each; a YAML names them and gives their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from rl_robot_control.errors import ConfigurationError, UnknownNameError


def term_names(module: ModuleType) -> list[str]:
    """Names of the terms that a module offers."""
    return sorted(name for name, value in vars(module).items()
                  if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith('_'))


def bind_term(module: ModuleType, name: str, params: dict[str, Any], where: str) -> Callable[..., Any]:
    """Find a term and bind its parameters.

    Args:
        module: Module that holds the terms of this kind.
        name: The term's name.
        params: Its keyword arguments.
        where: Source of the name, for messages.

    Raises:
        UnknownNameError: No such term, or the term has no such parameter.
        ConfigurationError: A parameter without a default is missing.
    """
    names = term_names(module)
    if name not in names:
        raise UnknownNameError(f'{module.__name__.rpartition(".")[2].rstrip("s")} term', name, names, where)
    function = getattr(module, name)
    keywords = {p.name: p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for key in params:
        if key not in keywords:
            raise UnknownNameError(f"parameter of term '{name}'", key, keywords, where)
    missing = [key for key, p in keywords.items() if p.default is p.empty and key not in params]
    if missing:
        raise ConfigurationError(f"{where}: term '{name}' needs the parameter '{missing[0]}'.")
    return partial(function, **params)
