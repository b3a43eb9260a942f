//! The reference's C exports, and nothing else.
pub use reloaded_memory_buffers::*;
