"""The page's own words, in each language it can be written in; labels come from the project."""

from __future__ import annotations

LANGUAGES = ("en", "zh")

WORDS: dict[str, tuple[str, str]] = {
    "title": ("Where customers stand", "客户全景"),
    "as_of": ("As of", "截至"),
    "customers": ("Customers", "客户"),
    "open": ("Open cases", "进行中"),
    "overdue": ("Overdue cases", "延期案例"),
    "things": ("Deadlines and tasks past due", "延期节点与任务"),
    "counted": (
        "A case is overdue while a deadline is missed or a task past due. It counts with each person it is late with.",
        "案例有节点延期未完成或任务过期未办，即为延期案例；涉及多人的案例在每人名下各计一次。",
    ),
    "moves": ("Moves in 28 days", "近28天流转"),
    "contents": ("On this page", "本页内容"),
    "flows": ("Stages and flows", "阶段与流程"),
    "moved": ("Moved in the last 28 days", "近28天流转"),
    "late": ("Overdue, and with whom", "延期事项与责任人"),
    "bands": ("Health and other bands", "健康度与分级"),
    "rates": ("Renewal and other rates, last twelve months", "续约率等指标(近十二个月)"),
    "messages": ("Messages", "消息"),
    "stage": ("Stage", "阶段"),
    "cases": ("Cases", "数量"),
    "into": ("Moved here lately", "近期进入"),
    "flow": ("Flow", "流程"),
    "person": ("Person or role", "责任人或岗位"),
    "nobody": ("nobody", "无人负责"),
    "what": ("What", "事项"),
    "due": ("Due", "应完成"),
    "days": ("Days late", "延期天数"),
    "case": ("Case", "事项编号"),
    "metric": ("Metric", "指标"),
    "value": ("Value", "数值"),
    "made_of": ("Made of", "构成"),
    "of": ("of", "/"),
    "unknown": ("unknown", "未知"),
    "not_judged": ("could not be judged", "无法判断"),
    "number": ("Number", "数量"),
    "status": ("Status", "状态"),
    "more": ("more customers", "家客户未列出"),
    "more_lines": ("more", "条未列出"),
    "none": ("Nothing.", "无。"),
    "customer": ("Customer", "客户"),
    "failed": ("could not be made", "未能生成"),
    "renewed": ("Contracts that ended and were renewed", "到期合同续签"),
    "never": ("csflow has not passed over this project yet: csflow run.", "尚未运行：请先执行 csflow run。"),
    "passed": ("last pass", "最近一次运行"),
    "good": ("good end", "好的结束"),
    "bad": ("bad end", "坏的结束"),
    "neutral": ("neutral end", "其他结束"),
    "pending": ("waiting to be sent", "待发送"),
    "withheld": ("withheld", "暂扣"),
    "sent": ("sent", "已发送"),
    "dead": ("could not be sent", "无法发送"),
    "dropped": ("dropped", "已放弃"),
    "behind": ("Each number opens to the customers behind it.", "点击数字可查看对应客户。"),
}


def words(language: str) -> dict[str, str]:
    """The page's words in a language; English where it has no others."""
    place = LANGUAGES.index(language) if language in LANGUAGES else 0
    return {name: said[place] for name, said in WORDS.items()}
