"""Which environment variables Kubernetes made: those of a Service named `trailhouse-kafka` begin as our settings do.

It puts them into every container, for each Service of the namespace:
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""

import re

_is_made_name = re.compile(
    r"[A-Z0-9_]+_"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
).fullmatch
_is_service_address = re.compile(r"(?:tcp|udp|sctp)://\S+:[0-9]+").fullmatch


def is_made_by_kubernetes(variable: str, text: str) -> bool:
    """Tell whether *variable* with the value *text* is one of a Service's.

    A name that ends in ``_PORT`` alone can be a setting, as ``TRAILHOUSE_WORKER_WEB_PORT`` is: it is
    Kubernetes' when it holds an address such as ``tcp://10.0.0.1:6066``, and no setting holds one.
    """
    if variable.endswith("_PORT") and _is_service_address(text):
        return True
    return _is_made_name(variable) is not None
