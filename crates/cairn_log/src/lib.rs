//! Durable, segmented, append-only log of opaque records: bytes, offsets and files, not events.
