"""All platforms. A new one is one file, its vectors under `tests/`, and a line here."""

from __future__ import annotations

from web.channels.base import ChannelAdapter
from web.channels.generic import Generic
from web.channels.line import Line
from web.channels.messenger import Messenger
from web.channels.sms import Sms
from web.channels.telegram import Telegram
from web.channels.wechat import WeChat
from web.channels.wecom import WeChatKf, WeCom
from web.channels.whatsapp import WhatsApp
from web.channels.zalo import Zalo

ADAPTERS: dict[str, ChannelAdapter] = {
    adapter.name: adapter
    for adapter in (
        Generic(),
        WeChat(),
        Telegram(),
        Line(),
        WhatsApp(),
        WeCom(),
        WeChatKf(),
        Messenger(),
        Zalo(),
        Sms(),
    )
}
