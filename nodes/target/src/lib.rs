//! A built-in HTTP/1.1 server to aim at; it knows exactly what it served.
