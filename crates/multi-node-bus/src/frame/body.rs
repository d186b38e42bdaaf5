//! What stands in the bodies of requests, failures and histories.

use multi_node_fleet::id::NodeId;

/// A body ends too early, or a text in it is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Truncated;

pub(super) fn take_u64(body: &[u8]) -> Result<(u64, &[u8]), Truncated> {
    let (number, rest) = body.split_first_chunk().ok_or(Truncated)?;
    Ok((u64::from_le_bytes(*number), rest))
}

fn take_u32(body: &[u8]) -> Result<(u32, &[u8]), Truncated> {
    let (number, rest) = body.split_first_chunk().ok_or(Truncated)?;
    Ok((u32::from_le_bytes(*number), rest))
}

/// What stands before a request's payload: the remaining time in microseconds, the length of the name, the name.
pub(crate) fn encode_request_head(remaining: u64, name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(9 + name.len());
    bytes.extend_from_slice(&remaining.to_le_bytes());
    // Names have at most 255 bytes.
    bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

/// Remaining microseconds, name and payload of a request.
pub(crate) fn decode_request(body: &[u8]) -> Result<(u64, &str, &[u8]), Truncated> {
    let (remaining, rest) = take_u64(body)?;
    let (&length, rest) = rest.split_first().ok_or(Truncated)?;
    let (name, payload) = rest.split_at_checked(usize::from(length)).ok_or(Truncated)?;
    Ok((remaining, str::from_utf8(name).map_err(|_| Truncated)?, payload))
}

/// A failure's code and text.
pub(crate) fn encode_failure(code: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![code];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

pub(crate) fn decode_failure(body: &[u8]) -> Result<(u8, String), Truncated> {
    let (&code, text) = body.split_first().ok_or(Truncated)?;
    Ok((code, String::from_utf8_lossy(text).into_owned()))
}

/// What a newcomer asks for: the last `most` messages, but of each publisher here only those before its number.
///
/// The process that answers first waits until it has all messages before these numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) most: u32,
    /// The most bytes of payloads; the newest are sent.
    pub(crate) most_bytes: u32,
    pub(crate) before: Vec<(NodeId, u64)>,
}

pub(crate) fn encode_needs(needs: &Needs) -> Vec<u8> {
    let mut bytes = needs.most.to_le_bytes().to_vec();
    bytes.extend_from_slice(&needs.most_bytes.to_le_bytes());
    for (node, seq) in &needs.before {
        bytes.extend_from_slice(&node.number().to_le_bytes());
        bytes.extend_from_slice(&seq.to_le_bytes());
    }
    bytes
}

pub(crate) fn decode_needs(body: &[u8]) -> Result<Needs, Truncated> {
    let (most, rest) = take_u32(body)?;
    let (most_bytes, mut rest) = take_u32(rest)?;
    let mut before = Vec::with_capacity(rest.len() / 16);
    while !rest.is_empty() {
        let (node, after) = take_u64(rest)?;
        let (seq, after) = take_u64(after)?;
        before.push((NodeId::from_number(node), seq));
        rest = after;
    }
    Ok(Needs { most, most_bytes, before })
}

/// What stands before the payload of a message of the history: the question's number and the publisher.
pub(crate) fn encode_item(question: u64, from: NodeId) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&question.to_le_bytes());
    bytes[8..].copy_from_slice(&from.number().to_le_bytes());
    bytes
}

pub(crate) fn decode_item(body: &[u8]) -> Result<(u64, NodeId, &[u8]), Truncated> {
    let (question, rest) = take_u64(body)?;
    let (from, payload) = take_u64(rest)?;
    Ok((question, NodeId::from_number(from), payload))
}
