"""LiteLLM: `install` has every model call of the process recorded, in the run that it is made in."""

from trailhouse.capture.litellm.installing import install as install
