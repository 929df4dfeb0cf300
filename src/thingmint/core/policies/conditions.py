"""Owns the condition operators of policies: which exist, which values they take, and when a request satisfies them."""

import ipaddress
import operator
import re
from collections.abc import Callable, KeysView, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import TypeAlias, TypeVar

from thingmint.core.policies.patterns import (
    Token,
    arn_glob,
    fixed_tokens,
    literal,
    nothing,
    parse_tokens,
    required_variables,
    resolved,
    variables_of,
    weight_of,
)
from thingmint.core.wildcards import Fixed, Predicate, glob

T = TypeVar("T")

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")
_DATE = re.compile(
    r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}"
    r"(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2}))?)?)?"
)
_EPOCH = re.compile(r"[0-9]{5,11}")
# Numbers, dates, addresses and booleans in a request are shorter.
_LONGEST_READABLE = 128
_IF_EXISTS = "IfExists"
_NULL = "Null"


class RequestContext:
    """The condition keys of a request. Names of keys are case-insensitive, as in IAM."""

    __slots__ = ("_folded", "_unsubstitutable", "_values")

    def __init__(self, values: Mapping[str, tuple[str, ...]], unsubstitutable: frozenset[str] = frozenset()) -> None:
        """Take the values by key, and the keys (in lower case) whose values must not replace a variable."""
        self._values = values
        self._unsubstitutable = unsubstitutable
        self._folded: dict[str, tuple[str, ...]] | None = None

    def has(self, key: str) -> bool:
        """Return whether the request has the key, even without values."""
        return key in self._values or key.lower() in self._by_folded_key()

    @property
    def names(self) -> KeysView[str]:
        """The names of the keys as given to the constructor."""
        return self._values.keys()

    def extended(self, values: Mapping[str, tuple[str, ...]]) -> "RequestContext":
        """Return a context with these values added."""
        return RequestContext({**self._values, **values}, self._unsubstitutable)

    def values(self, key: str) -> tuple[str, ...]:
        """Return the values of a key; no values if the request has no such key."""
        exact = self._values.get(key)
        if exact is not None:
            return exact
        return self._by_folded_key().get(key.lower(), ())

    def variable(self, key: str) -> str | None:
        """Return the value of a policy variable: the first value of the key, or None."""
        if self._unsubstitutable and key.lower() in self._unsubstitutable:
            return None
        return next(iter(self.values(key)), None)

    def _by_folded_key(self) -> dict[str, tuple[str, ...]]:
        if self._folded is None:
            self._folded = {name.lower(): values for name, values in self._values.items()}
        return self._folded


class Quantifier(Enum):
    """How many of a request's values must satisfy the operator."""

    NONE = ""
    ALL = "ForAllValues:"
    ANY = "ForAnyValue:"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator. It compiles a value of the policy to a predicate on a value of the request.

    ``compile`` raises ValueError for a value that the operator cannot take.
    """

    compile: Callable[[tuple[Fixed, ...]], Predicate]
    wildcards: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Operand:
    """One value of a policy: compiled, or tokens if it depends on the request."""

    tokens: tuple[Token, ...]
    predicate: Predicate | None


@dataclass(frozen=True, slots=True)
class Clause:
    """One operator on one key: a part of a condition, all parts of which must hold."""

    key: str
    operator: Operator
    quantifier: Quantifier
    if_exists: bool
    operands: tuple[Operand, ...]

    def holds(self, context: RequestContext) -> bool:
        """Return whether the request satisfies the clause."""
        values = context.values(self.key)
        if not values:
            # IAM: a missing key satisfies …IfExists, ForAllValues and the negated operators, and nothing else.
            return self.if_exists or self._holds_without_key()
        predicates = self._predicates(context)
        matches = [any(predicate(value) for predicate in predicates) for value in values]
        if self.quantifier is Quantifier.ALL:
            return all(match is not self.operator.negated for match in matches)
        if self.quantifier is Quantifier.ANY:
            return any(match is not self.operator.negated for match in matches)
        return any(matches) is not self.operator.negated

    def required_keys(self) -> frozenset[str]:
        """Return the keys that a request needs for the clause to hold as its author meant it."""
        keys = {variable.key for operand in self.operands for variable in required_variables(operand.tokens)}
        return frozenset(keys if self.if_exists else keys | {self.key})

    def condition_keys(self) -> frozenset[str]:
        """Return the keys that the clause reads."""
        return frozenset({self.key, *(var.key for operand in self.operands for var in variables_of(operand.tokens))})

    @property
    def weight(self) -> int:
        """The maximum cost of the clause for one value; see `core.policies.budget`."""
        return weight_of(()) + sum(weight_of(operand.tokens) for operand in self.operands)

    def _holds_without_key(self) -> bool:
        if self.quantifier is Quantifier.NONE:
            return self.operator.negated
        return self.quantifier is Quantifier.ALL

    def _predicates(self, context: RequestContext) -> list[Predicate]:
        predicates = []
        for operand in self.operands:
            if operand.predicate is not None:
                predicates.append(operand.predicate)
                continue
            # IAM: a variable without a value equals nothing; neither does a value that the operator cannot take.
            tokens = resolved(operand.tokens, context.variable)
            if tokens is not None:
                predicates.append(_compiled_or_nothing(self.operator, tokens))
        return predicates


@dataclass(frozen=True, slots=True)
class NullClause:
    """The operator ``Null``: whether the key must be missing."""

    key: str
    missing: frozenset[bool]

    def holds(self, context: RequestContext) -> bool:
        """Return whether the request satisfies the clause."""
        return (not context.values(self.key)) in self.missing

    @property
    def weight(self) -> int:
        """The maximum cost of the clause; see `core.policies.budget`."""
        return weight_of(())

    def condition_keys(self) -> frozenset[str]:
        """Return the key that the clause reads."""
        return frozenset({self.key})

    def required_keys(self) -> frozenset[str]:
        """Return no key, because the clause tests whether the key is missing."""
        return frozenset()


Condition: TypeAlias = tuple[Clause | NullClause, ...]


def compile_clause(name: str, key: str, values: tuple[str, ...], *, variables: bool) -> Clause | NullClause:
    """Return the clause; raise ValueError if the operator does not exist or cannot take one of the values."""
    if name == _NULL:
        return NullClause(key, frozenset(_boolean(value) for value in values))
    quantifier, named, if_exists = _parse_name(name)
    operands = tuple(_operand(named, value, variables=variables) for value in values)
    return Clause(key, named, quantifier, if_exists, operands)


def ensure_operator(name: str) -> None:
    """Raise ValueError unless the operator exists."""
    if name != _NULL:
        _parse_name(name)


def _parse_name(name: str) -> tuple[Quantifier, Operator, bool]:
    # Reversed, because every name starts with the empty prefix of NONE.
    quantifier = next(each for each in reversed(Quantifier) if name.startswith(each.value))
    bare = name.removeprefix(quantifier.value)
    found = OPERATORS.get(bare.removesuffix(_IF_EXISTS))
    if found is None:
        raise ValueError(f"the condition operator {name!r} does not exist")
    return quantifier, found, bare.endswith(_IF_EXISTS)


def _operand(named: Operator, value: str, *, variables: bool) -> Operand:
    tokens = parse_tokens(value, wildcards=named.wildcards, variables=variables)
    fixed = fixed_tokens(tokens)
    return Operand(tokens, None if fixed is None else named.compile(fixed))


def _compiled_or_nothing(named: Operator, tokens: tuple[Fixed, ...]) -> Predicate:
    try:
        return named.compile(tokens)
    except ValueError:
        return nothing


def _equals(tokens: tuple[Fixed, ...]) -> Predicate:
    expected = literal(tokens)
    return lambda value: value == expected


def _equals_ignore_case(tokens: tuple[Fixed, ...]) -> Predicate:
    expected = literal(tokens).casefold()
    # Case folding never shortens a text, so a longer value cannot be equal.
    return lambda value: len(value) <= len(expected) and value.casefold() == expected


def _boolean(text: str) -> bool:
    folded = text.lower()
    if folded not in ("true", "false"):
        raise ValueError(f"true or false is expected, not {text!r}")
    return folded == "true"


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"a number is expected, not {text!r}")
    return Decimal(text)


def _date(text: str) -> datetime:
    if _EPOCH.fullmatch(text):
        return datetime.fromtimestamp(int(text), UTC)
    if not _DATE.fullmatch(text):
        raise ValueError(f"a date as of ISO 8601 or seconds since 1970 are expected, not {text!r}")
    # W3C's profile of ISO 8601 allows a year or a month alone. Both mean the start of that period.
    moment = datetime.fromisoformat(text + "-01-01"[len(text) - 4 :] if len(text) < len("2026-01-01") else text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _address(text: str) -> Address:
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _network(tokens: tuple[Fixed, ...]) -> Predicate:
    text = literal(tokens)
    _, slash, length = text.partition("/")
    if slash and not (length.isascii() and length.isdigit()):
        raise ValueError(f"an address or a CIDR range is expected, not {text!r}")
    network = ipaddress.ip_network(text, strict=False)
    return lambda value: _compared(_address, value, lambda address: address in network)


def _boolean_equals(tokens: tuple[Fixed, ...]) -> Predicate:
    expected = _boolean(literal(tokens))
    return lambda value: _compared(_boolean, value, lambda given: given is expected)


def _comparing(parse: Callable[[str], T], compare: Callable[[T, T], bool]) -> Callable[[tuple[Fixed, ...]], Predicate]:
    def compile_operand(tokens: tuple[Fixed, ...]) -> Predicate:
        expected = parse(literal(tokens))
        return lambda value: _compared(parse, value, lambda given: compare(given, expected))

    return compile_operand


def _compared(parse: Callable[[str], T], value: str, test: Callable[[T], bool]) -> bool:
    # A request can give any value. A value that cannot be parsed equals nothing.
    if len(value) > _LONGEST_READABLE:
        return False
    try:
        return test(parse(value))
    except ValueError:
        return False


OPERATORS: Mapping[str, Operator] = {
    "StringEquals": Operator(_equals),
    "StringNotEquals": Operator(_equals, negated=True),
    "StringEqualsIgnoreCase": Operator(_equals_ignore_case),
    "StringNotEqualsIgnoreCase": Operator(_equals_ignore_case, negated=True),
    "StringLike": Operator(glob, wildcards=True),
    "StringNotLike": Operator(glob, wildcards=True, negated=True),
    "NumericEquals": Operator(_comparing(_number, operator.eq)),
    "NumericNotEquals": Operator(_comparing(_number, operator.eq), negated=True),
    "NumericLessThan": Operator(_comparing(_number, operator.lt)),
    "NumericLessThanEquals": Operator(_comparing(_number, operator.le)),
    "NumericGreaterThan": Operator(_comparing(_number, operator.gt)),
    "NumericGreaterThanEquals": Operator(_comparing(_number, operator.ge)),
    "DateEquals": Operator(_comparing(_date, operator.eq)),
    "DateNotEquals": Operator(_comparing(_date, operator.eq), negated=True),
    "DateLessThan": Operator(_comparing(_date, operator.lt)),
    "DateLessThanEquals": Operator(_comparing(_date, operator.le)),
    "DateGreaterThan": Operator(_comparing(_date, operator.gt)),
    "DateGreaterThanEquals": Operator(_comparing(_date, operator.ge)),
    "Bool": Operator(_boolean_equals),
    "IpAddress": Operator(_network),
    "NotIpAddress": Operator(_network, negated=True),
    # IAM's reference: ArnEquals and ArnLike behave identically.
    "ArnEquals": Operator(arn_glob, wildcards=True),
    "ArnNotEquals": Operator(arn_glob, wildcards=True, negated=True),
    "ArnLike": Operator(arn_glob, wildcards=True),
    "ArnNotLike": Operator(arn_glob, wildcards=True, negated=True),
}
