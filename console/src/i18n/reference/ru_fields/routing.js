// Русский: описания полей сообщений из routing.proto.

/** @type {Record<string, string>} */
export default {
  "ExplainedCredential.attempts": "Попытки, о которых эти числа, из выборки; 0: давно не использовалось.",
  "ExplainedCredential.error_permille": "Доли попыток, которые не удались и в которых место ответило 429.",
  "ExplainedCredential.failures_in_a_row": "Неудачные попытки подряд после последней удачной.",
  "ExplainedCredential.first_byte_us": "Медианы: первый байт потока в микросекундах и скорость в тысячных долях токена в секунду.",
  "ExplainedCredential.index": "Номер среди ключей провайдера, от 0.",
  "SimulateRoutesResponse.records": "Прочитанные записи. Если их много — выборка: тысячные доли всех; 1 000 — все.",
  "SimulateRoutesResponse.since": "Запрошенный период, Unix-секунды.",
  "SimulatedOutcome.cost_nano_usd": "По ценам, действующим сейчас; записанное — как выставлено.",
  "SimulatedOutcome.duration_us": "От начала до конца, микросекунды: записанное — среднее, иначе ожидаемое время; 0: неизвестно.",
  "SimulatedOutcome.first_byte_p50_us": "До первого байта потоков, микросекунды, которых не превышают половина и 95 % из них; 0: неизвестно.",
  "SimulatedOutcome.share_permille": "Доля всех запросов маршрута, которым отвечают здесь.",
  "SimulatedOutcome.unmeasured_permille": "Доля этих запросов в местах без измерений, которые во времена не входят.",
  "SimulatedRoute.failed_requests": "Запросы, на которые не ответило ни одно место, и те, на которые шлюз ответил из кэша. Они не воспроизводятся.",
  "SimulatedRoute.note_codes": "Коды замечаний, в том же порядке.",
  "SimulatedRoute.notes": "Чего числа не учитывают, по предложению.",
  "SimulatedRoute.organisation": "Владелец предлагаемого маршрута; пусто у общего.",
  "SimulatedRoute.recorded": "Как записано; как вышло бы с нынешним маршрутом, нет, если его нет; как вышло бы с предлагаемым.",
  "SimulatedRoute.requests": "Запросы, на которые место ответило, из всех запросов периода; они и воспроизводятся.",
  "SimulatedTarget.attempts": "Его измерения за этот период: попытки и доли тех, что не удались или получили 429.",
  "SimulatedTarget.cached_permille": "Доля токенов запроса, взятых из его кэша.",
  "SimulatedTarget.millitokens_per_second": "Медианная скорость его потоков, тысячные доли токена в секунду; 0: не измерено.",
};
