"""Personal data is found, and what looks like it is not."""

import pytest

from luthier.prepare.clean.card_number import is_bank_card, is_identity_card, luhn
from luthier.prepare.clean.personal import find, mask, tally
from luthier.prepare.spec import PERSONAL, Personal

FOUND = {
    "写信到zhang.san@qq.com谢谢": "写信到[email]谢谢",
    "Mail <jane_doe+news@mail.bank.co.uk>.": "Mail <[email]>.",
    "邮箱：ｌｉ＠ｑｑ．ｃｏｍ": "邮箱：[email]",
    "手机13812345678，微信同号": "手机[phone]，微信同号",
    "手机：１３８１２３４５６７８": "手机：[phone]",
    "+86 138-1234-5678": "[phone]",
    "13812345678,13912345678": "[phone],[phone]",
    "座机010-62345678转2": "座机[phone]",
    "电话：010-62345678 转 8021，找王先生": "电话：[phone]，找王先生",
    "总机 0755-26543210分机号123": "总机 [phone]",
    "请拨400-812-3456转6": "请拨[phone]",
    "客服热线：400 812 3456": "客服热线：[phone]",
    "客服电话：4008123456转3": "客服电话：[phone]",
    "Call 212-684-4700 ext. 12.": "Call [phone].",
    "转1万到010-62345678": "转1万到[phone]",
    "(021) 6234 5678": "[phone]",
    "客服电话4008123456": "客服电话[phone]",
    "热线 400-812-3456": "热线 [phone]",
    "Call (212) 684-4700 now": "Call [phone] now",
    "or 732-830-9763.": "or [phone].",
    "UK: +44 20 7946 0958": "UK: [phone]",
    "+12145558444": "[phone]",
    # The examples of GB 11643-1999, 5.2
    "身份证11010519491231002X": "身份证[id_card]",
    "身份证号：440524188001010014": "身份证号：440524188001010014",  # born in 1880: beyond living people
    "旧身份证号 110105491231002": "旧身份证号 [id_card]",
    "身份证号码是110105194912310021": "身份证号码是[id_card]",  # the check digit would be X
    "微信：zhang_san88": "微信：[wechat]",
    "加我微信号zhangsanfeng聊": "加我微信号[wechat]聊",
    "微信号：wxid_8f3k2l1m0n，备注姓名": "微信号：[wechat]，备注姓名",
    "WeChat: li-wei2020 or mail me": "WeChat: [wechat] or mail me",
    "微信13812345678": "微信[phone]",
    "QQ：123456789": "QQ：[qq]",
    "加QQ 10001234 咨询": "加QQ [qq] 咨询",
    "ＱＱ号码：１２３４５６７８": "ＱＱ号码：[qq]",
    "扣扣28374650": "扣扣[qq]",
    "车牌号京A12345": "车牌号[plate]",
    "我驾驶粤B·D12345追尾": "我驾驶[plate]追尾",
    "沪A·88888": "[plate]",
    "撞了我的车，对方是苏E5X6Y7": "撞了我的车，对方是[plate]",
    "挂车鲁H1234挂": "挂车[plate]",
    "川AF12345新能源车": "[plate]新能源车",
    # Numbers that the card issuers publish for tests
    "card 4111 1111 1111 1111": "card [bank_card]",
    "卡号6222021234567890128": "卡号[bank_card]",
    "5555-5555-5555-4444": "[bank_card]",
    "378282246310005": "[bank_card]",
    "from 93.184.216.34:80": "from [ip]:80",
    "2606:2800:220:1:248:1893:25c8:1946": "[ip]",
}
LOOK_ALIKES = [
    "订单号13812345678",
    "Order no. 4111111111111111",
    "ISBN 978-0-306-40615-7",
    "ISBN 9787111213826",
    "价格 13800138000 元",
    "$15551234567",
    "1,381,234,567",
    "2023-10-15 12:30:45",
    "20231015123045",
    "version 10.4.12.200",
    "Chrome/91.0.4472.124",
    "see 3.2.1.4",
    "192.168.1.1, 10.0.0.7, 127.0.0.1, 203.0.113.9",
    "john@example.com",
    "git@github.com:python/cpython.git",
    "@decorator and user@host",
    "std::vector<int>::iterator",
    "3.14159265358979",
    "+1000000000",
    "1 + 12345678 = 12345679",
    "x = 13812345678901",
    "550e8400-e29b-41d4-a716-446655440000",
    "ISSN 0378-5955",
    "110105194912310021",
    "4111111111111112",
    "卡号6222021234567890127",
    "0000 0000 0000 0000",
    "第13812345678名",
    "1e13812345678",
    "https://a.org/13812345678",
    "10000000000 people",
    "7:30 - 9:45, 12:00",
    "微信公众号：renmin_ribao2020",
    "微信支付：WeChat_Pay",
    "微信小程序 hello2020",
    "WeChat: download the app",
    "WeChat: version 8.0.32",
    "wechat = WeChat2Client(token)",
    "QQ群：123456789",
    "QQ 2013版",
    "QQ有123456789个用户",
    "QQ100万用户",
    "QQ音乐",
    "阿里云ECS12345",
    "腾讯云CVM2020",
    "长江流域新A12345型号",
    "型号粤X系列",
    "共400 812 3456条",
    "400 800 1600 3200",
    "从4008123456开始",
    "编号110105194912310021",
    "转123室",
]


@pytest.mark.parametrize("text", FOUND)
def test_personal_data_is_replaced_by_its_kind(text: str) -> None:
    assert mask(text, find(text, PERSONAL)) == FOUND[text]


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_what_looks_like_personal_data_stays(text: str) -> None:
    assert find(text, PERSONAL) == []


def test_only_the_kinds_asked_for_are_found() -> None:
    kinds: tuple[Personal, ...] = ("phone",)
    assert tally(find("a@b.org 13812345678", kinds)) == (("phone", 1),)


def test_masked_text_holds_nothing_to_find() -> None:
    texts = [text for text in FOUND if find(text, PERSONAL)]
    assert texts
    assert [find(mask(text, find(text, PERSONAL)), PERSONAL) for text in texts] == [[]] * len(texts)


def test_check_digit_of_the_standards_own_example_is_right_and_any_other_is_wrong() -> None:
    # GB 11643-1999, 5.2: 11010519491231002 has the check digit X
    assert [digit for digit in "0123456789X" if is_identity_card("11010519491231002" + digit)] == ["X"]


def test_luhn_takes_one_digit_of_ten() -> None:
    # Wikipedia, Luhn algorithm: 1789372997 has the check digit 4
    assert [digit for digit in "0123456789" if luhn("1789372997" + digit)] == ["4"]


def test_a_card_has_its_issuers_length() -> None:
    assert is_bank_card("4242424242424242")
    assert not is_bank_card("42424242424242")
