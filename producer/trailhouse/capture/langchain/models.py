"""LangChain's callbacks of models and retrievers: what each of them is in the record."""

from __future__ import annotations

from typing import Any

from trailhouse.capture.langchain.content import answer_of, question_of
from trailhouse.capture.langchain.handler import Handler, guarded
from trailhouse.capture.langchain.runs import SOURCE
from trailhouse.capture.langchain.usage import is_from_cache, message_of, response_id_of, usage_of
from trailhouse.producer.object_fields import read


class ModelCallbacks(Handler):
    """Records what models use, and follows retrievers: what is called within one belongs to the run around it."""

    @guarded
    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: Any, **about: Any
    ) -> None:
        self._begin_model(serialized, messages[0] if messages else None, run_id, about)

    @guarded
    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: Any, **about: Any) -> None:
        self._begin_model(serialized, prompts[0] if prompts else None, run_id, about)

    def _begin_model(self, serialized: Any, asked: Any, run_id: Any, about: dict[str, Any]) -> None:
        kind = read(serialized, "id")
        name = about.get("name") or (kind[-1] if isinstance(kind, list) and kind else "model")
        step = self.runs.begin(run_id, "model", about, name=str(name))
        if step.owner is not None:
            step.owner.note_model_call(has_ended=False)
        if step.is_run and step.owner is not None and (question := question_of(asked)) is not None:
            step.owner.run.message(question, role="user")

    @guarded
    def on_llm_end(self, response: Any, *, run_id: Any, **_: Any) -> None:
        step = self.runs.end(run_id)
        if step is None or step.owner is None:
            return
        owner = step.owner
        usage = usage_of(response, model=step.info["model"], provider=step.info["provider"])
        if not is_from_cache(response):
            owner.run.use(usage, call_id=response_id_of(response), source=SOURCE)
        owner.note_model_call(has_ended=True)
        if step.is_run:
            message = message_of(response)
            texts = [read(each, "text") for group in response.generations for each in group]
            answer = answer_of(message) if message is not None else texts[0] if texts else None
            if answer is not None:
                owner.run.message(answer, role="assistant")
            owner.end()

    @guarded
    def on_llm_error(self, error: BaseException, *, run_id: Any, **about: Any) -> None:
        step = self.runs.end(run_id)
        if step is None or step.owner is None:
            return
        step.owner.tell(error)
        partly = about.get("response")  # what had come of a stream
        usage = usage_of(partly, model=step.info["model"], provider=step.info["provider"])
        step.owner.run.model_call_failed(error, usage, call_id=response_id_of(partly))
        step.owner.note_model_call(has_ended=True)
        if step.is_run:
            step.owner.end(error)

    @guarded
    def on_retriever_start(self, serialized: Any, query: str, *, run_id: Any, **about: Any) -> None:
        self.runs.begin(run_id, "retriever", about, name=about.get("name"))

    @guarded
    def on_retriever_end(self, documents: Any, *, run_id: Any, **_: Any) -> None:
        self.runs.end(run_id)

    @guarded
    def on_retriever_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        step = self.runs.end(run_id)
        if step is not None and step.owner is not None and isinstance(error, Exception):
            step.owner.hold(error)
