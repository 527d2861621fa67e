"""The bot as the messaging platforms ask it: one message in, an answer or a report out."""

from __future__ import annotations

from bot.errors import PictureError, QuestionTooLongError
from bot.question import known_language, read_question
from bot.types import Answer
from web.channels.base import Block, Outbound
from web.conversations import ConversationStore
from web.render import sign_blocks
from web.service import Service


class BotResponder:
    """Answers messages with the service's bot. Computes, so it runs in threads."""

    def __init__(self, service: Service, conversations: ConversationStore) -> None:
        self._service = service
        self._conversations = conversations

    def respond(self, text: str, *, conversation_id: str, lang_hint: str | None) -> Answer:
        """The answer to a message; the conversation goes on where it stood.

        Raises:
            RetrievalError: index or model cannot serve, and the message is no emergency.
            EmptyQuestionError: nothing was said.
        """
        conversation = self._conversations.get_or_start(conversation_id)
        hint = conversation.language or lang_hint
        limit = self._service.settings.max_question_chars
        try:
            question = read_question(text, hint=hint, max_chars=limit)
        except QuestionTooLongError:
            # A messenger has no field that could say «too long»: what stands first is what is asked.
            question = read_question(text[:limit], hint=hint, max_chars=limit)
        answer, conversation = self._service.answerer.answer(question, conversation)
        self._conversations.put(conversation)
        return answer

    def check_offer(self, text: str | None, image: bytes | None, *, lang_hint: str | None) -> Outbound:
        """What to say about a pasted or photographed offer; never that it is safe."""
        language = known_language(lang_hint)
        try:
            if image is not None:
                report = self._service.check_picture(image, language=language)
            else:
                report = self._service.offers.check(text or "", language=language)
        except PictureError as error:
            return Outbound(blocks=(Block("say", str(error)),), language=language or "en", notice=True)
        blocks = (Block("notice", report.notice), *sign_blocks(report))
        return Outbound(blocks=blocks, language=report.language, situation="weighing-offer")
