"""The dialects, by the name that the catalogue uses."""

from gateway.providers.dashscope import DashScope
from gateway.providers.deepseek import DeepSeek
from gateway.providers.dialect import Dialect
from gateway.providers.moonshot import Moonshot
from gateway.providers.spark import Spark
from gateway.providers.zai import Zai

DIALECTS: dict[str, Dialect] = {
    "openai": Dialect(),
    "deepseek": DeepSeek(),
    "moonshot": Moonshot(),
    "dashscope": DashScope(),
    "zai": Zai(),
    "spark": Spark(),
}
