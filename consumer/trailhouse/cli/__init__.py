"""The command line `trailhouse`: one thin function a command, each in its own module."""

__all__: list[str] = []
