//! Settings and metrics, as they lie in objects.
