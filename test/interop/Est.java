import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.spec.*;
import java.util.*;
import javax.net.ssl.*;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.est.*;
import org.bouncycastle.est.jcajce.*;
import org.bouncycastle.operator.jcajce.*;
import org.bouncycastle.pkcs.*;
import org.bouncycastle.pkcs.jcajce.*;
import org.bouncycastle.util.Store;

/** BouncyCastle's EST client: authorities, attributes, enrolment and re-enrolment.
 * usage: Est HOST:PORT ROOT.pem CERT.pem KEY.p8 (DER) */
public class Est {
    static X509Certificate cert(String path) throws Exception {
        try (InputStream in = new FileInputStream(path)) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
    }

    static PKCS10CertificationRequestBuilder request(X509Certificate like, KeyPair pair) {
        X500Name name = X500Name.getInstance(like.getSubjectX500Principal().getEncoded());
        return new JcaPKCS10CertificationRequestBuilder(name, pair.getPublic());
    }

    static X509CertificateHolder one(Store<X509CertificateHolder> store) {
        Collection<X509CertificateHolder> all = store.getMatches(null);
        if (all.size() != 1) {
            throw new IllegalStateException(all.size() + " certificates");
        }
        return all.iterator().next();
    }

    public static void main(String[] args) throws Exception {
        Security.addProvider(new org.bouncycastle.jce.provider.BouncyCastleProvider());
        X509Certificate root = cert(args[1]), own = cert(args[2]);
        PrivateKey key = KeyFactory.getInstance("EC").generatePrivate(
            new PKCS8EncodedKeySpec(Files.readAllBytes(Paths.get(args[3]))));
        KeyStore ks = KeyStore.getInstance("PKCS12");
        ks.load(null, null);
        ks.setKeyEntry("device", key, new char[0], new java.security.cert.Certificate[] {own});
        KeyManagerFactory kmf = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        kmf.init(ks, new char[0]);
        ESTService service = new JsseESTServiceBuilder(args[0],
            JcaJceUtils.getCertPathTrustManager(Collections.singleton(new TrustAnchor(root, null)), null))
            .withKeyManagers(kmf.getKeyManagers())
            .withTimeout(10000)
            .addCipherSuites(args[4].equals("1.2") ? new String[] {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}
                : new String[] {"TLS_AES_128_GCM_SHA256"})
            .withTLSVersion("TLSv" + args[4]).build();
        System.out.println("cacerts " + EST(service.getCACerts()));
        CSRRequestResponse attributes = service.getCSRAttributes();
        System.out.println("csrattrs " + attributes.getAttributesResponse().getRequirements().size());
        KeyPairGenerator g = KeyPairGenerator.getInstance("EC");
        g.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair pair = g.generateKeyPair();
        PKCS10CertificationRequest csr = request(own, pair).build(
            new JcaContentSignerBuilder("SHA256withECDSA").build(pair.getPrivate()));
        X509CertificateHolder first = one(service.simpleEnroll(false, csr, null).getStore());
        System.out.println("enrolled " + first.getSubject());
        X509CertificateHolder again = one(service.simpleEnroll(true, csr, null).getStore());
        System.out.println("re-enrolled " + again.equals(first));
    }

    static int EST(CACertsResponse r) throws Exception {
        return r.getCertificateStore().getMatches(null).size();
    }
}
