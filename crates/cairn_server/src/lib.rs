//! HTTP: collection, API, log-in, OpenAPI, embedded tracker and dashboard. No SQL.
