// Русский: описания полей сообщений из quota.proto.

/** @type {Record<string, string>} */
export default {
  "CredentialHeadroom.credential": "Номер среди ключей провайдера, от 1; 1 — и если у провайдера нет ни одного.",
  "CredentialHeadroom.digest": "Стоит вместо ключа и ничего о нём не выдаёт; у другого ключа он другой.",
  "CredentialHeadroom.target_id": "Как в `x-trunkline-target`, для квоты одной модели; пусто: все модели провайдера.",
  "CredentialHeadroom.source": "`quota`: задана; `headers`: сообщена ответами провайдера; `rest`: ключ отдыхает, квота неизвестна.",
  "CredentialHeadroom.metric": "Например, `requests`, `tokens` или `requests-day`.",
  "CredentialHeadroom.per_seconds": "У заданной квоты.",
  "CredentialHeadroom.limit": "0: неизвестно.",
  "CredentialHeadroom.resets_at": "Unix-секунды; 0: неизвестно.",
  "CredentialHeadroom.rests_until": "Unix-секунды, до которых туда не идут запросы; 0: не отдыхает.",
  "CredentialHeadroom.reason": "Почему отдыхает; пусто: не отдыхает.",
  "CredentialHeadroom.translator": "Транслятор, чей Envoy это считает.",
  "CredentialQuota.credential": "Номер ключа среди ключей провайдера, от 1.",
  "ListQuotasRequest.provider": "Имя провайдера; пусто: все.",
  "ListQuotasResponse.silent": "Трансляторы, не ответившие вовремя; их данных нет.",
  "Quota.metric": "METRIC_REQUESTS: отправленные попытки; METRIC_TOKENS: токены запроса и ответа вместе.",
  "Quota.per_seconds": "Длина скользящего окна в секундах, от 1 до 31 дня.",
  "RestAlert.subject": "Место, как в `x-trunkline-target`, или провайдер; если ключ не первый, дальше стоит `#2`.",
  "RestAlert.since": "Unix-секунды; `until` 0: пока запрос не покажет, что отдых закончился.",
  "RestAlert.translator": "Транслятор, чей Envoy об этом сообщает.",
  "CredentialHeadroom.remaining": "У заданной квоты: сколько не израсходовал ни один шлюз.",
  "CredentialHeadroom.share": "У заданной квоты: сколько из неё может израсходовать этот шлюз и сколько израсходовал в этом окне.",
};
