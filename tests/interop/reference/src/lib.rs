//! The C functions of the reference, and nothing else.
pub use reloaded_memory_buffers::c;
pub use reloaded_memory_buffers::structs;
