"""Capture of Google's Agent Development Kit: runs, agents, tools, confirmations, usage; by `install`, with no span.

`install(audit)` wraps `Runner.run_async` and `Runner.run_live`, for a cancellation or a broken-off stream is told to
no plugin, and puts a plugin of ours first in each runner that runs. The kit's own OpenTelemetry spans are left alone:
they show a confirmation as a tool that has run, and a transfer as an agent that was stopped.
"""

from trailhouse.capture.google_adk.runner import install

__all__ = ["install"]
