//! The dashboard's files. They are the program's own and hold nothing of anybody, so that they are answered without a token:
//! the page asks for one when the API wants it.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Context;
use super::access::{Access, Routes};
use super::problem::ApiError;

/// The addresses of pages. The page itself reads its address: each is answered with the same file.
const PAGES: [&str; 15] = [
    "/",
    "/ants",
    "/audit",
    "/budgets",
    "/configs",
    "/definitions",
    "/definitions/{definition}",
    "/jobs",
    "/jobs/{id}",
    "/jobs/{id}/attempts/{number}/terminal",
    "/notifications",
    "/outcomes",
    "/schedules",
    "/tokens",
    "/triggers",
];

/// What stands before its title: as it is, and when something runs, needs somebody or has failed.
const ICONS: [&str; 4] = ["/favicon.svg", "/favicon-ask.svg", "/favicon-bad.svg", "/favicon-run.svg"];

/// Where the page has the nonce of its Content-Security-Policy.
const NONCE: &str = "__NONCE__";

/// Names of these files change with their contents.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// What a program says that was compiled without Node.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Atta</title><h1>Atta runs</h1>\
    <p>This program was built without its dashboard. <code>make build</code> builds both; it needs Node 20 or newer.</p>\
    <p>Everything else is there: the commands of <code>atta</code>, and the API, described at \
    <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>.</p></html>";

pub(super) fn add(mut routes: Routes) -> Routes {
    for path in PAGES {
        routes = routes.plain(Access::Open, path, get(page));
    }
    for path in ICONS {
        routes = routes.plain(Access::Open, path, get(icon));
    }
    routes.plain(Access::Open, "/assets/{*path}", get(asset))
}

async fn icon(State(context): State<Context>, uri: Uri, headers: HeaderMap) -> Response {
    file(&context, &headers, uri.path().trim_start_matches('/'), ASK_AGAIN)
}

async fn asset(State(context): State<Context>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    file(&context, &headers, &format!("assets/{path}"), FOREVER)
}

async fn page(State(context): State<Context>) -> Response {
    let Some(page) = (context.dashboard)("index.html") else {
        return guarded(([(header::CONTENT_TYPE, HTML)], NOT_BUILT), "style-src 'none'");
    };
    let nonce = format!("{:016x}{:016x}", context.entropy.next_u64(), context.entropy.next_u64());
    let text = String::from_utf8_lossy(page).replace(NONCE, &nonce);
    let fields = [(header::CONTENT_TYPE, HTML), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    guarded((fields, text), &format!("style-src 'self' 'nonce-{nonce}'"))
}

/// A page that may load what this server has, and nothing else; that no other page may frame.
fn guarded(response: impl IntoResponse, styles: &str) -> Response {
    let policy = format!(
        "default-src 'none'; script-src 'self'; {styles}; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; \
         manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    let mut response = response.into_response();
    let fields = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        fields.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    fields.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    fields.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    response
}

fn file(context: &Context, headers: &HeaderMap, path: &str, caching: HeaderValue) -> Response {
    let Some(gzipped) = (context.dashboard)(path) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = format!("\"{}\"", &blake3::hash(gzipped).to_hex()[..16]);
    let mut response = if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if takes_gzip(headers) {
        ([(header::CONTENT_ENCODING, GZIP)], gzipped).into_response()
    } else {
        let detail = format!("{path} is sent compressed by gzip, and Accept-Encoding does not allow that");
        return ApiError::new(StatusCode::NOT_ACCEPTABLE, "GZIP_NEEDED", detail).into_response();
    };
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    fields.insert(header::CACHE_CONTROL, caching);
    fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        fields.insert(header::ETAG, tag);
    }
    response
}

/// RFC 9110 §12.5.3: who says nothing takes any coding; a weight of 0 means no.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let Some(accepted) = headers.get(header::ACCEPT_ENCODING) else { return true };
    accepted.to_str().unwrap_or_default().split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        named && !parts.any(|part| part.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0_f32)))
    })
}

/// Of the kinds of files that the dashboard is made of.
fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" | "map" => "application/json",
        "woff2" => "font/woff2",
        "png" => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for yes in ["gzip", "br, GZip", "deflate, gzip;q=0.5", "*"] {
            assert!(takes_gzip(&accepting(yes)), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "br, gzip; q=0.0", "xgzip"] {
            assert!(!takes_gzip(&accepting(no)), "{no}");
        }
        assert!(takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn the_pages_are_those_of_the_router_and_the_icons_are_there() {
        let dashboard = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboard");
        let router = std::fs::read_to_string(dashboard.join("src/router.tsx")).unwrap();
        let paths = router.split("path: \"").skip(1).filter_map(|rest| rest.split('"').next());
        let segments = |path: &str| -> Vec<String> {
            let is_open = |segment: &str| segment.starts_with(['$', '{', '+']);
            path.split('/').map(|segment| if is_open(segment) { "*" } else { segment }.to_owned()).collect()
        };
        let routed: std::collections::BTreeSet<Vec<String>> = paths.map(segments).collect();
        assert_eq!(routed, PAGES.into_iter().map(segments).collect());
        for icon in ICONS {
            assert!(dashboard.join("public").join(icon.trim_start_matches('/')).exists(), "{icon}");
        }
    }
}
