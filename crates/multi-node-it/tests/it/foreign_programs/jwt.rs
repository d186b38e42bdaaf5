//! What `nsc` would make: an operator and an account that a NATS server trusts, and credentials of users.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// The configuration of a server that trusts this operator, and knows this account.
pub(super) fn trusting(operator: &KeyPair, account: &KeyPair) -> String {
    let own = signed(operator, operator, &json!({ "type": "operator", "version": 2 }));
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let known = signed(operator, account, &json!({ "type": "account", "version": 2, "limits": limits }));
    format!("operator: {own}\nresolver: MEMORY\nresolver_preload: {{ {}: {known} }}\n", account.public_key())
}

/// A file as `nsc` writes it, for a user who may publish and subscribe there.
pub(super) fn credentials(account: &KeyPair, allowed: &[&str]) -> String {
    let (user, allow) = (KeyPair::new_user(), json!({ "allow": allowed }));
    let rights = json!({
        "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": allow, "sub": allow,
    });
    let (jwt, seed) = (signed(account, &user, &rights), user.seed().expect("a seed"));
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

fn signed(issuer: &KeyPair, subject: &KeyPair, what: &Value) -> String {
    let claims = json!({
        "jti": "TEST", "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(), "name": "test", "nats": what,
    });
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encoded(json!({ "typ": "JWT", "alg": "ed25519-nkey" })), encoded(claims));
    let signature = issuer.sign(text.as_bytes()).expect("a key with a seed");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
