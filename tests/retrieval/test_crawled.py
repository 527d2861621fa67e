"""Crawled pages: the news is kept, all of it and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.article_file import read_article_file
from retrieval.crawled import extract_article
from retrieval.errors import ArticleFormatError
from retrieval.types import Article

DATA = Path(__file__).resolve().parents[1] / "data" / "crawled"
# The page that the project was begun with; it lies beside the repository, and not everywhere.
SEED = Path(__file__).resolve().parents[3] / "shared" / "seed"

# What the news is: beginning and end of each line that must be kept. Headings have a '#'.
KEPT = {
    "wechat-magazine": (
        "边城县公安局3月6日通报…收走护照以后就不再归还。",
        "通报称，这41人…已被刑事拘留。",
        "民警提醒，任何单位…并联系中国驻外使领馆。",
    ),
    "wechat-subheads": (
        "#01 一条学姐发来的消息…",
        "今年5月，江城某学院…一起报了名。",
        "#02 登机口前的电话…",
        "5月17日早上…小林关机后独自飞走。",
        "小林落地后…小林回到江城。",
        "#03 民警怎么说…",
        "民警说，学校从不委托…合作资格。",
    ),
    "portal-toutiao": (
        "8月12日凌晨…两人已经失温。",
        "据警方介绍，司机…年纪最小的17岁。",
        "“他们以为是正规派遣…办案民警陈某说。",
        "目前司机…正在进一步侦办中。",
    ),
    "weibo-post": ("#湖城反诈#…已请中国驻当地使馆协助。", "警方提醒大家…不要向对方转账。"),
    "news-english": (
        "A clinic in the port town…had not slept for two days.",
        'The group included people…seen a contract."',
        "Police said that 3.5%…a year ago.",
        "The clinic asks anybody…no papers are needed.",
    ),
    "government-notice": (
        "近期有市民反映…市外事办公室提醒如下：",
        "一、凡是要求持旅游签证…请不要参加。",
        "二、出境务工前…经营资格。",
        "三、在境外遇到危险…驻当地使领馆。",
    ),
    "news-vietnamese": (
        "Công an tỉnh cho biết ngày 2/9…mới 16 tuổi.",
        "Theo điều tra ban đầu…đã bị tạm giữ.",
        "Cơ quan công an khuyến cáo…trước khi đi.",
    ),
}
ORIGINS = {
    "wechat-magazine": "边城县公安局网站",
    "wechat-subheads": "江城市公安局",
    "portal-toutiao": "南港晚报",
}
DATES = {"weibo-post": "2025-04-02", "portal-toutiao": "2025-08-14"}
LANGUAGES = {"news-english": "en", "news-vietnamese": "vi"}


def kept_lines(article: Article) -> list[str]:
    """Lines of the text; headings with a '#' before them."""
    starts = {heading.start for heading in article.headings}
    lines, at = [], 0
    for line in article.text.split("\n"):
        lines.append("#" * (at in starts) + line)
        at += len(line) + 1
    return lines


def test_every_page_has_its_expected_news() -> None:
    assert {path.stem for path in DATA.glob("*.txt")} == set(KEPT)


@pytest.mark.parametrize("name", KEPT)
def test_the_news_alone_is_kept(name: str) -> None:
    article = read_article_file(DATA / f"{name}.txt")
    lines = kept_lines(article)
    assert len(lines) == len(KEPT[name]), lines
    for line, expected in zip(lines, KEPT[name], strict=True):
        begin, _, end = expected.partition("…")
        assert line.startswith(begin)
        assert line.endswith(end)


@pytest.mark.parametrize("name", KEPT)
def test_what_else_the_page_says_is_data(name: str) -> None:
    article = read_article_file(DATA / f"{name}.txt")
    assert article.origin == ORIGINS.get(name)
    assert article.published == DATES.get(name, article.published)
    assert article.language == LANGUAGES.get(name, "zh-Hans")
    assert not article.is_own
    assert article.title
    assert article.publisher


@pytest.mark.skipif(not SEED.is_dir(), reason="the seed page is not at hand")
def test_seed_page() -> None:
    (path,) = SEED.iterdir()
    article = read_article_file(path)
    lines = kept_lines(article)
    assert len(lines) == 4
    assert lines[0].startswith("为纵深打击缅北涉我电信网络诈骗犯罪")
    assert "1079" in lines[0]
    assert "5.3万余名" in lines[1]
    assert "永和口岸移交我方。" in lines[2]
    assert lines[3].endswith("切实维护自身合法权益。")
    assert article.origin == "公安部网站"
    assert (article.publisher, article.published) == ("中国信息安全", "2024-11-23")
    for chrome in ("扫码", "微信", "征订", "邮发代号", "推荐", "点击", "http", "![", "**", "抖音"):
        assert chrome not in article.text


def extract(body: str, title: str = "题目", publisher: str = "某报") -> list[str]:
    return list(extract_article(body, title=title, publisher=publisher).lines)


PROSE = "警方昨天在边境一处院子里找到了三十名求职者，他们的护照都被收走了。"


@pytest.mark.parametrize(
    "chrome",
    [
        "[上一条新闻的标题](https://a.cn/1)",
        "![图片](https://a.cn/1.png)",
        "[![](https://a.cn/1.png)](https://a.cn/2)",
        "**欢迎关注《某某周刊》官方抖音号**",
        "扫码关注我们",
        "长按识别二维码",
        "责任编辑：王某",
        "点击下方卡片关注我们，了解更多",
        "×",
        "：\n，\n，\n。",
        "免责声明：本文由网友上传，平台仅提供信息存储服务，不对内容负责，如有侵权请联系删除。",
        "本网站转载的文章仅代表作者观点，与本站立场无关，请读者自行核实相关的内容。",
        "We use cookies to improve your experience. By using this site you accept our privacy policy.",
    ],
)
@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_chrome_goes_wherever_it_stands(chrome: str, place: str) -> None:
    other = "其中十二人当天坐上了回家的车，其余的人在医院接受身体检查，费用由当地负担。"
    blocks = [PROSE, other]
    blocks.insert({"before": 0, "between": 1, "after": 2}[place], chrome)
    assert extract("\n\n".join(blocks)) == [PROSE, other]


def test_prose_that_speaks_of_chrome_is_kept() -> None:
    lines = [
        "记者调查发现，群里有人让大家微信扫一扫一个二维码，扫码之后手机里就多了一个招聘软件。",
        "他说，对方要求下载APP并且登录，之后就不断催他转账，直到他把家里的存款全部汇出。",
    ]
    assert extract("\n\n".join(lines)) == lines


def test_prose_inside_a_link_is_kept() -> None:
    assert extract(f"[{PROSE}](https://a.cn/1)") == [PROSE]


def test_prose_after_a_trailer_line_is_kept() -> None:
    assert extract(f"{PROSE}\n\n阅读原文\n\n{PROSE[::-1]}{PROSE}") == [PROSE, PROSE[::-1] + PROSE]


def test_a_short_notice_is_kept() -> None:
    assert extract("今日无新增案件。\n\n微信扫一扫\n关注该公众号") == ["今日无新增案件。"]


def test_title_and_publisher_are_not_repeated() -> None:
    assert extract(f"# 题 目！\n\n某报\n\n{PROSE}", title="题目", publisher="某报") == [PROSE]


def test_indented_and_underlined_lines_are_prose() -> None:
    assert extract(f"    {PROSE}\n---\n") == [PROSE]
    assert extract(f"\u3000\u3000{PROSE}") == [PROSE]


def test_tables_become_lines() -> None:
    table = "| 项目 | 人数 |\n| --- | --- |\n| 遣返 | 763人 |"
    assert extract(f"{PROSE}\n\n{table}\n\n{PROSE}")[1:-1] == ["项目 人数", "遣返 763人"]


@pytest.mark.parametrize(
    "body",
    [
        "# 环境异常\n\n当前环境异常，完成验证后即可继续访问。\n\n[去验证](javascript:void)",
        "参数错误",
        "该内容已被发布者删除",
        "微信扫一扫\n\n此内容因违规无法查看",
        "Just a moment...\n\nVerify you are human by completing the action below.",
        "404 Not Found\n\nnginx",
    ],
)
def test_verification_and_error_pages_are_refused(body: str) -> None:
    with pytest.raises(ArticleFormatError, match="verification or error page"):
        extract(body)


def test_an_article_about_such_pages_is_none() -> None:
    first = "网友说点开链接只看到“该内容已被发布者删除”，" + PROSE
    assert extract("\n\n".join([first] + [f"{n}、{PROSE}" for n in range(6)]))[0] == first


@pytest.mark.parametrize("body", ["", "\n\n", "![](https://a.cn/1.png)", "微信扫一扫\n关注该公众号", "×\n：\n，\n。"])
def test_nothing_is_left(body: str) -> None:
    with pytest.raises(ArticleFormatError, match="no article text"):
        extract(body)


def test_after_a_trailer_line_short_sentences_are_no_news() -> None:
    assert extract(f"{PROSE}\n\n案件正在侦办。\n\n相关推荐\n\n东山大桥今日通车。") == [
        PROSE,
        "案件正在侦办。",
    ]
