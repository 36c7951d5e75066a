"""What librdkafka's errors mean, where the code alone does not say it."""

from confluent_kafka import KafkaError


def is_tls_refusal(error: KafkaError) -> bool:
    """Tell whether a broker ended the connection by an alert of TLS: it wants a certificate, or another one.

    To librdkafka that is one more connection that broke (``_TRANSPORT``), and would be tried for ever.
    """
    return error.code() == KafkaError._TRANSPORT and "SSL alert number" in error.str()
