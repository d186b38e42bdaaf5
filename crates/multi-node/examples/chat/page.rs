//! The page and what belongs to it, all of it in the program.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::routing::get;

const HTML: &str = include_str!("web/page.html");
const CSS: &str = include_str!("web/page.css");
// One script, so that a page needs three requests and its parts come from one build.
const JS: &str = concat!(
    include_str!("web/link.js"),
    include_str!("web/strip.js"),
    include_str!("web/talk.js"),
    include_str!("web/deploy.js"),
    include_str!("web/page.js")
);

/// What visitors write is shown as text only; this keeps it harmless even if that had a hole.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let file = |kind: &'static str, text: &'static str| {
        let headers = [
            (CONTENT_TYPE, kind),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (CACHE_CONTROL, "no-cache"),
        ];
        get(async move || (headers, text))
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", HTML))
        .route("/page.css", file("text/css; charset=utf-8", CSS))
        .route("/page.js", file("text/javascript; charset=utf-8", JS))
}
