// Builds and validates, by Java's own PKIX provider (RFC 5280, 6.1), a path from each certificate to a trust anchor.
// Arguments: the file of CA certificates, then the certificates. Prints one line for each: "OK" or the reason.

import java.io.FileInputStream;
import java.io.InputStream;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

public class Verify {
    public static void main(String[] files) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        Set<TrustAnchor> anchors = new HashSet<>();
        List<Certificate> authorities = new ArrayList<>();
        try (InputStream stream = new FileInputStream(files[0])) {
            for (Certificate each : factory.generateCertificates(stream)) {
                X509Certificate authority = (X509Certificate) each;
                authorities.add(authority);
                if (authority.getSubjectX500Principal().equals(authority.getIssuerX500Principal())) {
                    anchors.add(new TrustAnchor(authority, null));
                }
            }
        }
        for (int index = 1; index < files.length; index++) {
            try (InputStream stream = new FileInputStream(files[index])) {
                X509CertSelector target = new X509CertSelector();
                target.setCertificate((X509Certificate) factory.generateCertificate(stream));
                PKIXBuilderParameters parameters = new PKIXBuilderParameters(anchors, target);
                // Devices' certificates say nothing of revocation; the registry does.
                parameters.setRevocationEnabled(false);
                parameters.addCertStore(
                    CertStore.getInstance("Collection", new CollectionCertStoreParameters(authorities)));
                CertPathBuilder.getInstance("PKIX").build(parameters);
                System.out.println("OK");
            } catch (Exception error) {
                System.out.println(error.getMessage());
            }
        }
    }
}
