//! The page behind a signed link. It works without scripts; what others wrote is escaped.

use std::fmt::Write as _;

use atta_core::protocol::people::{ApprovalResource, ApprovalState, Decision};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::ApiError;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em}\
     pre{white-space:pre-wrap;background:#f4f4f4;padding:1em}textarea{width:100%}button{font:inherit;padding:.4em 1.2em}";

/// Text between tags or in a quoted attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let title = escaped(title);
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>{body}\
         </body></html>"
    );
    let mut response = (status, text).into_response();
    let fields = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // The address holds the token: it goes nowhere else.
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (HeaderName::from_static("x-frame-options"), "DENY"),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What is asked, with a form if there is something to decide.
pub(super) fn question(approval: &ApprovalResource, voter: &str, token: &str) -> Response {
    let mut body = String::new();
    let (job_type, job, task) = (escaped(&approval.job_type), escaped(&approval.job_id.0), escaped(&approval.task));
    // Writing to a String cannot fail.
    let _ = write!(body, "<p>The task <b>{task}</b> of <b>{job_type}</b> ({job}) asks <b>{}</b>.</p>", escaped(voter));
    if let Some(message) = &approval.message {
        let _ = write!(body, "<pre>{}</pre>", escaped(message));
    }
    if !approval.votes.is_empty() {
        body.push_str("<ul>");
        for vote in &approval.votes {
            let what = if vote.decision == Decision::Approve { "approved" } else { "rejected" };
            let comment = vote.comment.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            let _ = write!(body, "<li>{} {what}{}</li>", escaped(&vote.voter), escaped(&comment));
        }
        body.push_str("</ul>");
    }
    if approval.state != ApprovalState::Open {
        let _ = write!(body, "<p>It is {} already.</p>", approval.state.as_str());
    } else if approval.votes.iter().any(|vote| vote.voter == voter) {
        body.push_str("<p>You have voted.</p>");
    } else {
        if let Some(deadline) = &approval.deadline {
            let _ = write!(body, "<p>It can be answered until {}.</p>", escaped(deadline));
        }
        let action = format!("{}/votes?token={token}", approval.approval_id);
        let _ = write!(
            body,
            "<form method=\"post\" action=\"{}\"><p><label>Comment (needed to reject)<br><textarea name=\"comment\" rows=\"4\" \
             maxlength=\"10000\"></textarea></label></p><p><button name=\"decision\" value=\"approve\">Approve</button> \
             <button name=\"decision\" value=\"reject\">Reject</button></p></form>",
            escaped(&action)
        );
    }
    page(StatusCode::OK, "Approval", &body)
}

/// The vote counts.
pub(super) fn thanks(voter: &str, approved: bool) -> Response {
    let what = if approved { "approved" } else { "rejected" };
    page(StatusCode::OK, "Thank you", &format!("<p>{} {what} this.</p>", escaped(voter)))
}

/// The vote does not count.
pub(super) fn refused(error: &ApiError) -> Response {
    let mut body = format!("<p>{}</p>", escaped(&error.detail));
    for violation in &error.violations {
        if violation.message != error.detail {
            let _ = write!(body, "<p>{}</p>", escaped(&violation.message));
        }
    }
    page(StatusCode::OK, "The vote does not count", &body)
}
