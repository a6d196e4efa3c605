// The end of a k6 script that is run as a PerformanceBaseline gate: what the gate k6 (k6.yaml) compares.
// $FLOE_REPORT is one file, and the names are those in thresholds.metrics.
export function handleSummary(data) {
  const metrics = {
    p95_ms: data.metrics.http_req_duration.values['p(95)'],
    failed_rate: data.metrics.http_req_failed.values.rate,
    requests_per_second: data.metrics.http_reqs.values.rate,
  };
  return { [__ENV.FLOE_REPORT]: JSON.stringify({ metrics }) };
}
