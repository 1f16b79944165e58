"""What watches Titan: scrapes, alerts with their tests, routes and dashboards, all rendered from the registry of metrics."""
