"""The page whose script calls the REST API as one of another origin would."""

PAGE = """\
<!doctype html>
<title>A page of another origin</title>
<script>
const api = "@API@", headers = {"Authorization": "@CREDENTIALS@", "Content-Type": "application/json"};
const report = {"error": null, "call ids": []};

async function call(path, options) {
  const answer = await fetch(api + path, options);
  report["call ids"].push(answer.headers.get("X-Request-Id"));
  return answer;
}

async function run() {
  const body = JSON.stringify({"verb": "retrieve", "request": "from a browser"});
  const submitted = await call("/requests/echo", {"method": "POST", headers, body});
  const id = (await submitted.json()).id;
  report.submitted = {"status": submitted.status, id, "location": submitted.headers.get("Location")};
  let result;
  do {  // a browser follows the redirection to the data by itself
    result = await call("/requests/" + id, {headers});
  } while (result.status === 202);
  report.result = {
    "status": result.status, "text": await result.text(), "md5": result.headers.get("Content-MD5"),
  };
  const refused = await call("/user", {"headers": {"Authorization": "Basic d3Jvbmc6d3Jvbmc="}});
  report.refused = {"status": refused.status, "message": (await refused.json()).message};
}

run().catch(error => { report.error = String(error); }).finally(
  () => fetch("/report", {"method": "POST", "body": JSON.stringify(report)}));
</script>
"""
