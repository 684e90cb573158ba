# To be sourced: the version of Apache Kafka that tests, demo and benchmarks run,
# and where its jars are kept. internal/kafkaserver looks in the same place.

kafka_version=3.9.1

# kafka_folder prints where the jars are kept.
kafka_folder() {
	local cache=/var/cache
	[ "$(id -u)" -eq 0 ] || cache=${XDG_CACHE_HOME:-$HOME/.cache}
	echo "$cache/walherald/kafka-$kafka_version"
}

# kafka_pom prints a Maven project that depends on Kafka and on what it logs with.
kafka_pom() {
	cat <<-POM
		<project xmlns="http://maven.apache.org/POM/4.0.0">
		  <modelVersion>4.0.0</modelVersion>
		  <groupId>walherald</groupId><artifactId>kafka</artifactId><version>1</version>
		  <dependencies>
		    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
		    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>
		  </dependencies>
		</project>
	POM
}
