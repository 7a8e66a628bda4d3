//! Cache entries as durable records and back; it does not know where records go.

use super::{CacheItem, CacheKey, Entry, hex};
use crate::store::CacheRecord;

pub(super) fn record_of(id: &str, entry: &Entry) -> CacheRecord {
    CacheRecord {
        id: id.to_owned(),
        key_hash: hex(&entry.key.exact),
        group_hash: hex(&entry.key.group),
        provider: entry.item.provider.clone(),
        model: entry.item.model.clone(),
        prompt: entry.item.prompt.clone(),
        scope: entry.item.scope.clone(),
        response: entry.item.response.clone(),
        usage: entry.item.usage,
        space_id: entry.item.space.clone(),
        embedding: entry.item.embedding.clone(),
        created_ms: entry.created_ms,
        expires_ms: entry.expires_ms,
    }
}

pub(super) fn entry_of(record: CacheRecord) -> Option<(String, Entry)> {
    let key = CacheKey { exact: unhex(&record.key_hash)?, group: unhex(&record.group_hash)? };
    let item = CacheItem {
        provider: record.provider,
        model: record.model,
        prompt: record.prompt,
        scope: record.scope,
        response: record.response,
        usage: record.usage,
        space: record.space_id,
        embedding: record.embedding,
    };
    Some((record.id, Entry::new(key, item, record.created_ms, record.expires_ms)))
}

pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    let digit = |b: u8| char::from(b).to_digit(16);
    let pairs = bytes.chunks_exact(2).map(|p| match p {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>()?.try_into().ok()
}
