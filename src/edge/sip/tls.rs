//! TLS for the stream transports.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::edge::sip::settings::TlsFiles;
use crate::edge::sip::stream::TlsContext;

/// Whom this node believes when it connects: what the system believes.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

pub fn context(files: &TlsFiles) -> anyhow::Result<TlsContext> {
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("{} holds no private key", files.key.display()))?;
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain.clone(), key)
        .context("certificate and key of [sip.tls] do not fit each other")?;
    let mut roots = RootCertStore::empty();
    // Without the system's list only peers of our own authority are believed.
    if let Ok(system) = certificates(Path::new(SYSTEM_ROOTS)) {
        roots.add_parsable_certificates(system);
    }
    roots.add_parsable_certificates(chain);
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsContext {
        acceptor: Arc::new(server).into(),
        connector: Arc::new(client).into(),
    })
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    anyhow::ensure!(!chain.is_empty(), "{} holds no certificate", path.display());
    Ok(chain)
}
