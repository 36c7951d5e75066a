"""LangChain and LangGraph: `install` has every agent, chain, tool and model call of the process recorded."""

from trailhouse.capture.langchain.installing import install as install
