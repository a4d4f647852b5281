//! What pages are made of besides words: one sheet, one script, one icon, compiled in. Their names
//! carry a hash of their content, so that a browser keeps them for ever and never sees an old one.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

/// A file of the program.
pub struct Asset {
    /// `/assets/console-1a2b3c4d.css`
    pub path: String,
    content_type: &'static str,
    body: &'static str,
}

pub struct Assets {
    pub style: Asset,
    pub script: Asset,
    pub icon: Asset,
}

pub static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: asset(
        "console",
        "css",
        "text/css; charset=utf-8",
        include_str!("../../../../assets/console.css"),
    ),
    script: asset(
        "console",
        "js",
        "text/javascript; charset=utf-8",
        include_str!("../../../../assets/console.js"),
    ),
    icon: asset(
        "icon",
        "svg",
        "image/svg+xml",
        include_str!("../../../../assets/icon.svg"),
    ),
});

fn asset(stem: &str, extension: &str, content_type: &'static str, body: &'static str) -> Asset {
    let hash = hex::encode(Sha256::digest(body.as_bytes()));
    Asset {
        path: format!("/assets/{stem}-{}.{extension}", &hash[..12]),
        content_type,
        body,
    }
}

/// `GET /assets/{name}`.
pub async fn serve(Path(name): Path<String>) -> Response {
    let assets = &*ASSETS;
    let known = [&assets.style, &assets.script, &assets.icon];
    let found = known
        .into_iter()
        .find(|asset| asset.path.strip_prefix("/assets/") == Some(&*name));
    match found {
        Some(asset) => (headers(asset), asset.body).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn headers(asset: &Asset) -> [(HeaderName, &'static str); 3] {
    [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
}
