//! The last part of a run: vectors for chunks that wait, and putting a new model into service; it reads no source.

use ai_core::{AiErrorCode, AiResult};

use super::Run;
use crate::catalogue::Catalogue;
use crate::prepare::{self, Binding};
use crate::records::SpaceRole;
use crate::store::{self, EmbeddedChunk};

impl Run<'_> {
    /// Gives waiting chunks their vectors, then puts a completed new space into service.
    pub(super) fn embed_pending(&mut self) -> AiResult<()> {
        self.phase("embed");
        // The first is the one that the settings ask for; an older one only serves until this one is complete.
        let Some(binding) = self.bindings.first().cloned() else { return Ok(()) };
        if self.options.reembed {
            self.inner.store.enqueue(self.source_id, binding.space.space_id, true)?;
        }
        let waiting = self.drain(&binding)?;
        self.progress.embeddings_pending = waiting;
        let catalogue = self.inner.store.quick(Catalogue::read)?;
        let held: Vec<_> =
            catalogue.spaces_of(self.source_id).into_iter().map(|(s, active)| (s.clone(), active)).collect();
        let building = held.iter().any(|(s, active)| s.space_id == binding.space.space_id && !active);
        if building && waiting == 0 {
            self.inner.store.set_role(self.source_id, binding.space.space_id, SpaceRole::Active)?;
        }
        if !building || waiting == 0 {
            // Also what a run that was stopped right after the change of roles left behind.
            for (space, _) in held.iter().filter(|(s, _)| s.space_id != binding.space.space_id) {
                self.inner.store.drop_space(self.source_id, space)?;
            }
        }
        Ok(())
    }

    /// Embeds until nothing waits or the embedder is away; returns how many chunks still wait.
    fn drain(&mut self, binding: &Binding) -> AiResult<u64> {
        let mut after = 0;
        let mut waiting = 0;
        loop {
            self.stop_if_cancelled()?;
            let chunks = self.inner.store.pending(
                self.source_id,
                binding.space.space_id,
                after,
                binding.settings.batch_size,
            )?;
            let Some(last) = chunks.last() else { return Ok(waiting) };
            after = last.chunk_pk;
            let texts: Vec<String> = chunks
                .iter()
                .map(|c| {
                    let empty = serde_json::Map::new();
                    let metadata = c.metadata.as_object().unwrap_or(&empty);
                    prepare::input_text(self.config, &c.title, &c.heading_path, &c.text, metadata)
                })
                .collect();
            let inputs: Vec<&str> = texts.iter().map(String::as_str).collect();
            let outcome = prepare::embed_batch(binding, &inputs);
            let made: Vec<EmbeddedChunk> = match outcome {
                Ok(vectors) => chunks
                    .iter()
                    .zip(vectors)
                    .zip(&inputs)
                    .map(|((chunk, vector), text)| EmbeddedChunk {
                        chunk_pk: chunk.chunk_pk,
                        source_id: chunk.source_id,
                        input_hash: crate::ids::sha256(&[text.as_bytes()]),
                        outcome: store::prepare_vector(&binding.space, vector).map_err(|e| (e.message, true)),
                    })
                    .collect(),
                Err(error) if binding.settings.on_error == "fail" => return Err(error),
                Err(error) => {
                    let last = error.code == AiErrorCode::InvalidArgument;
                    if !last {
                        // The embedder is away; what waits is tried again by the next run.
                        let rest = self.inner.store.pending_count(self.source_id, binding.space.space_id)?;
                        return Ok(rest);
                    }
                    waiting += chunks.len() as u64;
                    chunks
                        .iter()
                        .map(|chunk| EmbeddedChunk {
                            chunk_pk: chunk.chunk_pk,
                            source_id: chunk.source_id,
                            input_hash: String::new(),
                            outcome: Err((error.message.clone(), false)),
                        })
                        .collect()
                }
            };
            let failed = made.iter().filter(|m| m.outcome.is_err()).count() as u64;
            self.progress.embeddings_failed += failed;
            self.progress.embeddings_done += self.inner.store.put_embedded(&binding.space, &made)?;
            self.watcher.progress(&self.progress);
        }
    }
}
