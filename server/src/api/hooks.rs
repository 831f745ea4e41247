//! Webhooks: requests from outside that submit or wake jobs, and the record of them.

use std::collections::BTreeMap;

use atta_core::definition::WebhookAuth;
use atta_core::protocol::api::{DeliveryDetail, DeliveryOutcome, DeliveryResource, Page, WebhookAnswer};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use utoipa_axum::routes;

use super::Context;
use super::access::{Access, Routes};
use super::page::{Binding, tagged};
use super::problem::ApiError;
use super::request::{Params, Path, bytes, media_type};
use crate::scheduler::Delivery;
use crate::store::DeliveryFilter;

/// Largest body of a delivery.
const LARGEST: usize = 5 * 1024 * 1024;

/// Where senders put their id of a delivery.
const ID_HEADERS: [&str; 5] =
    ["x-github-delivery", "x-atta-delivery", "webhook-id", "x-request-id", "x-gitlab-event-uuid"];

/// Where senders say what happened.
const EVENT_HEADERS: [&str; 4] = ["x-github-event", "x-gitlab-event", "x-gitea-event", "x-event-key"];

/// The path below which requests prove themselves: no other check of their sender applies.
pub(super) const PREFIX: &str = "/api/v1/hooks/";

pub(super) fn routes() -> Routes {
    Routes::new()
        .with(Access::Proven, routes!(receive))
        .with(Access::VIEWER, routes!(list))
        .with(Access::VIEWER, routes!(get))
        .with(Access::OPERATOR, routes!(redeliver))
}

/// Deliver to a webhook
///
/// The request proves where it comes from as the trigger's `auth` says. 202: it submitted or woke a job; 200: it was
/// understood and nothing was to be done (`filtered`, `duplicate`, `replayed`, `ping`).
#[utoipa::path(
    post, path = "/api/v1/hooks/{job_type}/{name}", tag = "triggers", operation_id = "deliver_webhook",
    params(
        ("job_type" = String, Path, description = "The definition"),
        ("name" = String, Path, description = "The trigger's name"),
    ),
    request_body(content = Value, description = "JSON, or a form whose field `payload` holds JSON"),
    responses(
        (status = 202, body = WebhookAnswer, description = "A job was submitted or woken"),
        (status = 200, body = WebhookAnswer, description = "Nothing was to be done"),
    )
)]
async fn receive(
    State(context): State<Context>,
    Path((job_type, name)): Path<(String, String)>,
    params: Params,
    request: Request,
) -> Result<Response, ApiError> {
    params.finish()?;
    let missing = || ApiError::not_found(format_args!("webhook {name} of the definition {job_type}"));
    let webhook = context.reads.webhook(&job_type, &name).await?.ok_or_else(missing)?;
    let (parts, body) = request.into_parts();
    let refused = |error: ApiError| {
        metrics::counter!("atta_webhook_deliveries_total", "outcome" => "unauthorized").increment(1);
        tracing::warn!(%job_type, trigger = %name, reason = %error.detail, "a delivery was refused");
        error
    };
    // What has no proof at all is not read.
    let proof = Proof::claimed(&context, &job_type, &webhook.auth, &parts.headers).map_err(refused)?;
    let body = bytes(body, LARGEST).await?;
    proof.check(&body).map_err(refused)?;
    let payload = understand(&parts.headers, &body)?;
    let text = |name: &str| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let given = ID_HEADERS.iter().find_map(|name| text(name)).filter(|id| id.len() <= 200);
    let sender_id = given.unwrap_or_else(|| format!("blake3:{}", blake3::hash(&body).to_hex()));
    let delivery = Delivery {
        job_type,
        trigger: name,
        sender_id,
        event: EVENT_HEADERS.iter().find_map(|name| text(name)),
        headers: shown(&parts.headers),
        body: body.to_vec(),
        payload,
        redelivery_of: None,
    };
    answer(context.queen.deliver(delivery).await?)
}

fn answer(answer: WebhookAnswer) -> Result<Response, ApiError> {
    let detail = || answer.message.clone().unwrap_or_default();
    match answer.outcome {
        DeliveryOutcome::Submitted | DeliveryOutcome::Woke => Ok((StatusCode::ACCEPTED, Json(answer)).into_response()),
        DeliveryOutcome::Limited => {
            let seconds = HeaderValue::from(answer.retry_after.unwrap_or(1));
            Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", detail())
                .with_header(header::RETRY_AFTER, seconds))
        }
        DeliveryOutcome::Refused => Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "DELIVERY_REFUSED", detail())),
        _ => Ok(Json(answer).into_response()),
    }
}

/// What a request shows for knowing the webhook's secret. Nothing that cannot be checked passes.
enum Proof {
    /// It has shown the secret itself.
    Shown,
    /// This is to be the signature of the body.
    Signed { header: String, mac: Box<Hmac<Sha256>>, claimed: Option<Vec<u8>> },
}

impl Proof {
    /// What the headers show.
    fn claimed(context: &Context, job_type: &str, auth: &WebhookAuth, headers: &HeaderMap) -> Result<Self, ApiError> {
        let secret = context.queen.secrets().secret(Some(job_type), auth.secret()).map_err(|error| {
            ApiError::unavailable("SECRET_UNAVAILABLE", format!("the webhook's secret cannot be read: {error}"))
        })?;
        match auth {
            WebhookAuth::HmacSha256 { header, .. } => {
                let name = HeaderName::try_from(header.as_str()).map_err(|error| ApiError::internal(&error))?;
                let Some(signature) = headers.get(&name) else {
                    let detail = format!("the request has no signature: {header} is missing");
                    return Err(unauthorized("SIGNATURE_MISSING", detail));
                };
                let mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes())
                    .map_err(|error| ApiError::internal(&error))?;
                let claimed = signature.to_str().ok().map(|text| text.strip_prefix("sha256=").unwrap_or(text));
                let claimed = claimed.and_then(|claimed| hex::decode(claimed).ok());
                Ok(Self::Signed { header: header.clone(), mac: Box::new(mac), claimed })
            }
            WebhookAuth::Bearer { .. } => {
                let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let token = given.and_then(|value| {
                    let (scheme, token) = value.split_once(' ')?;
                    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
                });
                let Some(token) = token else {
                    return Err(unauthorized("TOKEN_MISSING", "the request has no Authorization: Bearer …".to_owned()));
                };
                // Digests have one length: the comparison says nothing about the secret's.
                let (given, right) = (blake3::hash(token.as_bytes()), blake3::hash(secret.reveal().as_bytes()));
                if bool::from(given.as_bytes().ct_eq(right.as_bytes())) {
                    return Ok(Self::Shown);
                }
                Err(unauthorized("TOKEN_INVALID", "the token is not the webhook's".to_owned()))
            }
        }
    }

    /// Whether it is right for this body.
    fn check(self, body: &[u8]) -> Result<(), ApiError> {
        let Self::Signed { header, mut mac, claimed } = self else { return Ok(()) };
        mac.update(body);
        if claimed.is_some_and(|claimed| mac.verify_slice(&claimed).is_ok()) {
            return Ok(());
        }
        Err(unauthorized(
            "SIGNATURE_INVALID",
            format!("the signature in {header} is not that of this body with the webhook's secret"),
        ))
    }
}

fn unauthorized(code: &'static str, detail: String) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code, detail)
}

/// The body as a value: JSON, or JSON in the field `payload` of a form.
fn understand(headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
    let invalid = |error: &dyn std::fmt::Display| {
        ApiError::bad_request(format!("the delivery's body is not valid JSON: {error}"))
    };
    if media_type(headers).as_deref() == Some("application/x-www-form-urlencoded") {
        let field = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
        let Some((_, text)) = field else {
            return Err(ApiError::bad_request("the delivery is a form without a field `payload`"));
        };
        return serde_json::from_str(&text).map_err(|error| invalid(&error));
    }
    serde_json::from_slice(body).map_err(|error| invalid(&error))
}

/// The headers that are recorded and shown to templates: none that proves anything.
fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            (name.starts_with("x-") || matches!(name, "content-type" | "user-agent" | "webhook-id"))
                && !["signature", "token", "secret", "auth", "key"].iter().any(|word| name.contains(word))
        })
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}

/// List deliveries, newest first
#[utoipa::path(
    get, path = "/api/v1/deliveries", tag = "triggers", operation_id = "list_deliveries",
    params(
        ("job_type" = Option<String>, Query, description = "Of this definition"),
        ("trigger" = Option<String>, Query, description = "Of the webhook with this name"),
        ("outcome" = Option<DeliveryOutcome>, Query, description = "With this outcome"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "Rows of a page, 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses((status = 200, body = Page<DeliveryResource>), (status = 304, description = "Not changed"))
)]
async fn list(State(context): State<Context>, headers: HeaderMap, mut params: Params) -> Result<Response, ApiError> {
    let filter = DeliveryFilter {
        job_type: params.one("job_type")?,
        trigger: params.one("trigger")?,
        outcome: params.parsed("outcome", |text| {
            serde_json::from_value::<DeliveryOutcome>(Value::from(text))
                .map_err(|_| "submitted, woke, duplicate, filtered, ping, replayed, limited or refused is expected")
        })?,
    };
    let limit = params.limit()?;
    let cursor = params.one("cursor")?;
    params.finish()?;
    let binding = Binding::new("deliveries", &filter);
    let before: Option<String> = binding.key(cursor.as_deref())?;
    let rows = context.reads.deliveries(&filter, before.as_deref(), limit + 1).await?;
    tagged(&headers, &binding.page(rows, limit, |row| row.id.clone())?)
}

/// Get a delivery with its body
#[utoipa::path(
    get, path = "/api/v1/deliveries/{id}", tag = "triggers", operation_id = "get_delivery",
    params(("id" = String, Path, description = "The delivery's id")),
    responses((status = 200, body = DeliveryDetail), (status = 304, description = "Not changed"))
)]
async fn get(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let found = context.reads.delivery(&id).await?;
    let (delivery, body) = found.ok_or_else(|| ApiError::not_found(format_args!("delivery {id}")))?;
    let (text, base64) = match String::from_utf8(body) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(base64::engine::general_purpose::STANDARD.encode(error.as_bytes()))),
    };
    tagged(&headers, &DeliveryDetail { delivery, text, base64 })
}

/// Deliver again
///
/// The stored request is evaluated by the definition's newest version, as if it came now; it need not prove itself again.
#[utoipa::path(
    post, path = "/api/v1/deliveries/{id}/redeliver", tag = "triggers", operation_id = "redeliver",
    params(("id" = String, Path, description = "The delivery's id")),
    responses(
        (status = 202, body = WebhookAnswer, description = "A job was submitted or woken"),
        (status = 200, body = WebhookAnswer, description = "Nothing was to be done"),
    )
)]
async fn redeliver(
    State(context): State<Context>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    params.finish()?;
    let found = context.reads.delivery(&id).await?;
    let (stored, body) = found.ok_or_else(|| ApiError::not_found(format_args!("delivery {id}")))?;
    let mut headers = HeaderMap::new();
    if let Some(value) = stored.headers.get("content-type").and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    let payload = understand(&headers, &body)?;
    let delivery = Delivery {
        job_type: stored.job_type,
        trigger: stored.trigger,
        sender_id: stored.sender_id,
        event: stored.event,
        headers: stored.headers,
        body,
        payload,
        redelivery_of: Some(stored.id),
    };
    answer(context.queen.deliver(delivery).await?)
}
