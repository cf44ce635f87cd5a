//! Facade library and the binary: server, client, middleware, command line.
