// Русский: описания полей сообщений из registry.proto.

/** @type {Record<string, string>} */
export default {
  "GpuLoad.use_percent": "Нет, если драйвер этого не сообщает.",
  "GpuLoad.memory_free": "Байты; нет, если драйвер этого не сообщает.",
  "IdleRule.state": "`idle`, `busy`, `measuring` или `unreadable`.",
  "IdleRule.owner_cpu_percent": "Доля всех процессоров без локальных серверов; нет, если не читается.",
  "IdleRule.owner_gpu_percent": "Самого занятого GPU; без локальных серверов, если `separate`.",
  "IdleRule.gpu_memory_free": "Байты, которые владелец оставляет на самом полном GPU.",
  "IdleRule.separate": "Использование GPU локальными серверами можно отделить.",
  "Load.concurrency_limit": "Собственный предел узла; 0 — нет.",
  "Load.kv_cache_permille": "Занятая доля KV-кэша в промилле; 1001 — неизвестно.",
  "Load.gpus": "В порядке `NodeFacts.gpus`, не больше 64.",
  "Load.idle": "Нет, если у владельца нет правила о простое.",
  "NodeFacts.direct_address": "host:port, где шлюз достигает узла; пусто: через туннели, которые открывает узел.",
  "NodeFacts.concurrency_source": "Откуда взято `Load.concurrency_limit`, для людей: от владельца или по тому, что локальные серверы обрабатывают разом.",
  "NodeFacts.schedule": "Когда владелец делится машиной, для людей: `mon-fri 22:00-06:00 (Europe/Berlin)`. Пусто: всегда.",
  "Offer.model": "Не больше 256 байт.",
  "Offer.context_length": "Токены; 0, если неизвестно.",
  "Offer.capabilities": "Из `chat`, `completions`, `embeddings`, `vision`, `tools`.",
  "Offer.healthy": "Локальный сервер отвечает на проверку.",
  "Offer.input_price": "Цена владельца, микро-USD за миллион токенов; это узел и зарабатывает.",
  "Offer.server": "`vllm`, `llama.cpp`, `ollama`, `sglang`, `lm-studio`, `tgi` или `openai`.",
  "Offer.concurrency_limit": "Сколько запросов к этой модели идёт сразу, сверх предела `Load.concurrency_limit`; 0: действует только он.",
};
