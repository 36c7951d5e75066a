"""The balance sheet: where every event is that a producer has numbered."""
