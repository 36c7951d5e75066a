"""What stands in the address of a request, by name."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from trailhouse.access.operations import Operation
from trailhouse.schemas.errors import QueryError

MAX_FIELDS = 200


def given_in(request: Request, operation: Operation) -> dict[str, object]:
    """Return what stands in the address, by name.

    Raises:
        QueryError: It cannot be read, or a parameter of one value is given twice. Permanent.
    """
    try:
        pairs = parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except (UnicodeDecodeError, ValueError):
        raise QueryError(
            f"the address: must be UTF-8 in per cent signs, with at most {MAX_FIELDS} parameters"
        ) from None
    many = {each.name for each in operation.parameters if each.is_many}
    given: dict[str, object] = dict(request.path_params)
    for name, value in pairs:
        if name in many:
            given[name] = [*_list(given.get(name)), value]
        elif name in given:
            raise QueryError(f"{ascii(name[:40])[1:-1]}: is given twice")
        else:
            given[name] = value
    return given


def _list(found: object) -> list[object]:
    return found if isinstance(found, list) else []
