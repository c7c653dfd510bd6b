/* What the files that make CMS share. */
#ifndef HOST_CMS_OWN_H
#define HOST_CMS_OWN_H

#include <openssl/cms.h>
#include <stdbool.h>

/** One more who can open it: ECDH on P-256 as SPEC 11-17 says. */
bool stampi_cms_add_recipient(CMS_ContentInfo *cms, X509 *cert);

#endif
