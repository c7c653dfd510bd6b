/* What the status process and the signer have to agree on. */
#ifndef SERVICE_STATUS_H
#define SERVICE_STATUS_H

#define STATUS_KEY_DAYS 14u      /* the certificate with which it answers is valid */
#define STATUS_LIST_DAYS_MAX 31u /* until the next list, at most */

#endif
