"""Owns the maximum length and depth of policy documents. Does not interpret their elements."""

from thingmint.core.strict_json import Malformed, Node, read_json

# The longest policyDocument in AWS IoT's service model.
MAX_CHARACTERS = 404_600
# IAM does not count white space. This is its largest limit on a document (inline policies of a role).
MAX_SIGNIFICANT_CHARACTERS = 10_240
# The deepest legal value is six levels down: document, Statement, statement, Condition, operator, list of values.
MAX_DEPTH = 8


def read_document(text: str, max_significant: int = MAX_SIGNIFICANT_CHARACTERS) -> Node:
    """Return the JSON value of the text; raise Malformed if it is not strict JSON or exceeds a limit.

    ``max_significant`` limits the number of characters that are not white space.
    """
    if len(text) > MAX_CHARACTERS:
        raise Malformed(MAX_CHARACTERS, f"a policy has at most {MAX_CHARACTERS} characters")
    if len("".join(text.split())) > max_significant:
        raise Malformed(len(text), f"a policy has at most {max_significant} characters, not counting white space")
    return read_json(text, MAX_DEPTH)
