/* Why a request is refused, in words. */
#include "host/registry_enrol.h"

static const struct {
    const char *name;
    const char *text;
} refusals[STAMP_REFUSALS] = {
    [STAMP_REFUSAL_NONE] = {"none", "admitted"},
    [STAMP_REFUSAL_CREDENTIAL] = {"credential",
                                  "show a client certificate or an enrolment token"},
    [STAMP_REFUSAL_UNKNOWN_KEY] = {"unknown-key", "this key is not on the books"},
    [STAMP_REFUSAL_FORGED] = {"forged", "this serial is on the books with another key"},
    [STAMP_REFUSAL_UNTRUSTED] = {"untrusted", "this certificate is neither of a trusted "
                                              "authority nor the one on the books"},
    [STAMP_REFUSAL_PURPOSE] = {"purpose", "this certificate is for another purpose: "
                                          "development and production do not mix"},
    [STAMP_REFUSAL_EXPIRED] = {"expired", "this certificate has expired, or is not valid "
                                          "yet"},
    [STAMP_REFUSAL_REVOKED] = {"revoked", "this device is revoked"},
    [STAMP_REFUSAL_STATE] = {"state", "this device is not in use: reserved, returned or "
                                      "scrapped"},
    [STAMP_REFUSAL_RETIRED] = {"retired", "this key was replaced by another"},
    [STAMP_REFUSAL_PRODUCT] = {"product", "this product is not served here"},
    [STAMP_REFUSAL_KEY_TAKEN] = {"key-taken", "the new key is in use already"},
    [STAMP_REFUSAL_KEY_KIND] = {"key-kind", "the new key is not a P-256 key"},
    [STAMP_REFUSAL_RATE] = {"rate", "too many new keys for this device: try again in an "
                                    "hour"},
    [STAMP_REFUSAL_TOKEN] = {"token", "this token is unknown, used or has ended"},
    [STAMP_REFUSAL_SUBJECT] = {"subject", "the request asks for another subject than its "
                                          "own"},
    [STAMP_REFUSAL_REQUEST] = {"request", "this is no PKCS#10 request in base64 that its "
                                          "own key signed"},
    [STAMP_REFUSAL_LINKING] = {"linking", "the proof of possession was not made for this "
                                          "connection"},
    [STAMP_REFUSAL_ROLE] = {"role", "this certificate may not do that"},
    [STAMP_REFUSAL_UNKNOWN_SERIAL] = {"unknown-serial",
                                      "this serial is not on the books"},
    [STAMP_REFUSAL_POLICY] = {"policy", "the certificate authority refuses to sign this"},
    [STAMP_REFUSAL_STATION] = {"station", "no station on the books has signed this"},
    [STAMP_REFUSAL_ORDER] = {"order", "this work order is not open, or not this "
                                      "station's"},
    [STAMP_REFUSAL_UNIT] = {"unit", "the work order has no such unit"},
    [STAMP_REFUSAL_PROTECTION] = {"protection", "no private key goes out unprotected: "
                                                "name the key of the client certificate "
                                                "as AsymmetricDecryptKeyIdentifier"},
};

const char *stamp_refusal_name(enum stamp_refusal refusal)
{
    return (unsigned)refusal < STAMP_REFUSALS ? refusals[refusal].name : "?";
}

const char *stamp_refusal_text(enum stamp_refusal refusal)
{
    return (unsigned)refusal < STAMP_REFUSALS ? refusals[refusal].text : "?";
}
