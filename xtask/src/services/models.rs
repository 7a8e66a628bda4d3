//! Stand-ins for model servers (`PENSTOCK_TEST_LLAMA_URL`, `PENSTOCK_TEST_AIMOCK_URL`, `PENSTOCK_TEST_LLMOCK_URL`).

use super::Service;

/// Each entry is one stand-in; an empty list starts none, and tests that read these variables then say so themselves.
pub(super) const SERVICES: &[Service] = &[];
